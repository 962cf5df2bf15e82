# SPDX-License-Identifier: GPL-2.0-or-later
"""A copy of a snapshot that has a recorded working set."""

from contextlib import contextmanager
import time

from fixed_ram.child import run
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


def last_change(path):
    status = path.stat()
    return status.st_mtime_ns, status.st_size


def wait_for_set(path, before):
    """The set is written after the load"""
    end = time.monotonic() + WRITE_S
    while last_change(path) == before:
        if time.monotonic() > end:
            raise NoSet("this QEMU wrote no working set")
        time.sleep(0.1)


def record(plan, snap):
    mode = MODES["on-demand"]
    mode = mode._replace(parameters={**mode.parameters,
                                     PARAMETER: plan.scale.record_s})
    before = last_change(snap.path)
    progress = Prefixed(plan.progress, "recording a working set")
    with loading(plan, snap, mode) as (guest, _):
        start_activity(guest, ACTIVITIES[snap.activity], snap)
        wait_loaded(guest, "recording", snap.data_bytes, progress)
        wait_for_set(snap.path, before)
        guest.quit()
    drop_from_page_cache(snap.path)


def make(plan, snap, path):
    """The copy; NoSet if this QEMU records none"""
    if PARAMETER not in plan.parameters:
        raise NoSet(f"this QEMU has no {PARAMETER}")
    plan.progress.update("copying the snapshot")
    run(["cp", "--", snap.path, path], COPY_S)
    copy = snapshot.describe(path, snap.memory, snap.fill, snap.activity)
    record(plan, copy)
    return copy


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
