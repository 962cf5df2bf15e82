# SPDX-License-Identifier: GPL-2.0-or-later
"""A copy of a snapshot that has a recorded working set."""

from contextlib import contextmanager
import time

from fixed_ram.child import finish, run
from fixed_ram.pagecache import drop_from_page_cache
from fixed_ram.session import temporary_file
from fixed_ram.steps import wait_loaded

from . import snapshot
from .load import Prefixed, loading, start_activity
from .modes import ACTIVITIES, MODES

PARAMETER = "fixed-ram-record"
COPY_S = 1800
WRITE_S = 20            # how long QEMU may take to write the set


class NoSet(Exception):
    """This QEMU records none; says why"""


def has_set(plan, path):
    """What is written last makes it part of the snapshot"""
    status, _, _ = finish([plan.snapshot_tool, "working-set", "show", path],
                          WRITE_S)
    return status == 0


def wait_for_set(plan, path):
    """It is written when the time for the record is over"""
    end = time.monotonic() + WRITE_S
    while not has_set(plan, path):
        if time.monotonic() > end:
            raise NoSet("this QEMU wrote no working set")
        time.sleep(0.5)


def record(plan, snap):
    mode = MODES["on-demand"]
    mode = mode._replace(parameters={**mode.parameters,
                                     PARAMETER: plan.scale.record_s})
    progress = Prefixed(plan.progress, "recording a working set")
    with loading(plan, snap, mode) as (guest, _):
        start_activity(guest, ACTIVITIES[snap.activity], snap)
        wait_loaded(guest, "recording", snap.data_bytes, progress)
        wait_for_set(plan, snap.path)
        guest.quit()
    drop_from_page_cache(snap.path)


def make(plan, snap, path):
    """The copy; NoSet if this QEMU records none"""
    if PARAMETER not in plan.parameters:
        raise NoSet(f"this QEMU has no {PARAMETER}")
    if not plan.snapshot_tool.is_file():
        raise NoSet(f"{plan.snapshot_tool.name} is not built")
    plan.progress.update("copying the snapshot")
    run(["cp", "--", snap.path, path], COPY_S)
    record(plan, snap._replace(path=path))
    return snapshot.describe(path, snap.memory, snap.fill, snap.activity)


@contextmanager
def with_set(plan, snap):
    """The copy, as a Snapshot, and None; or None, and why there is no set"""
    name = snap.path.stem + "-set.snapshot"
    with temporary_file(snap.path.with_name(name)) as path:
        copy = why_not = None
        try:
            copy = make(plan, snap, path)
        except NoSet as e:
            why_not = str(e)
        yield copy, why_not
