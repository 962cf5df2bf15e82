# SPDX-License-Identifier: GPL-2.0-or-later
"""A copy of a snapshot that has a recorded working set."""

from contextlib import contextmanager

from fixed_ram.child import run
from fixed_ram.pagecache import drop_from_page_cache
from fixed_ram.qmp import Failure
from fixed_ram.session import temporary_file
from fixed_ram.steps import wait_loaded

from . import snapshot
from .load import Prefixed, loading, start_activity
from .modes import ACTIVITIES, MODES

EVENT = "FIXED_RAM_WORKING_SET"
NO_RECORD = "this QEMU has no fixed-ram-record"
COPY_S = 1800
WRITE_S = 300           # how long QEMU may take to write the set


def wait_written(guest):
    """The event comes when the set is part of the snapshot, or will not be"""
    data = guest.qmp.wait_event(EVENT, WRITE_S)[1]["data"]
    if "error" in data:
        raise Failure(f"no working set was written: {data['error']}")
    if not data["pages"]:
        raise Failure("a working set without any page was recorded")
    return {"pages": data["pages"], "packed_mib": data["packed"] // 2**20}


def record(plan, snap):
    """Load it once; its guest does what it will do when it is measured"""
    mode = MODES["on-demand"]
    mode = mode._replace(parameters={
        **mode.parameters, "fixed-ram-record": plan.scale.record_s})
    progress = Prefixed(plan.progress, "recording a working set")
    with loading(plan, snap, mode) as (guest, _):
        start_activity(guest, ACTIVITIES[snap.activity], snap)
        wait_loaded(guest, "recording", snap.data_bytes, progress)
        written = wait_written(guest)
        guest.quit()
    drop_from_page_cache(snap.path)
    return written


@contextmanager
def with_set(plan, snap):
    """The copy, as a Snapshot, and the size of its set; or None, None"""
    if not plan.records:
        yield None, None
        return
    name = snap.path.stem + "-set.snapshot"
    with temporary_file(snap.path.with_name(name)) as path:
        plan.progress.update("copying the snapshot")
        run(["cp", "--", snap.path, path], COPY_S)
        written = record(plan, snap._replace(path=path))
        yield (snapshot.describe(path, snap.memory, snap.fill, snap.activity),
               written)
