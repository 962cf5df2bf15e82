# SPDX-License-Identifier: GPL-2.0-or-later
"""Snapshots to load: made when needed, removed when not."""

from contextlib import contextmanager
import os
from pathlib import Path
from typing import NamedTuple

from fixed_ram.guest import Guest
from fixed_ram.pagecache import data_ranges, drop_from_page_cache
from fixed_ram.session import temporary_file
from fixed_ram.steps import boot, fill, save
from fixed_ram.text import mib

from .modes import ACTIVITIES

# The file's holes that are taken for data where it is read as a whole
BRIDGE = 2**20


class Snapshot(NamedTuple):
    path: Path
    memory: int             # of the guest, MiB
    fill: int               # MiB of it
    activity: str
    data: tuple             # ranges of the file that are not holes
    bridged: tuple          # the same, with short holes taken in

    @property
    def data_bytes(self):
        return sum(end - start for start, end in self.data)

    def longest(self):
        """The longest part of the file without a long hole"""
        return max(self.bridged, key=lambda r: r[1] - r[0])

    def data_within(self, first, last):
        return sum(max(0, min(end, last) - max(start, first))
                   for start, end in self.data)


def describe(path, memory, filled, activity):
    return Snapshot(path, memory, filled, activity, tuple(data_ranges(path)),
                    tuple(data_ranges(path, BRIDGE)))


def make(plan, path, memory, filled, filling, activity):
    doing = ACTIVITIES[activity]
    with Guest(plan.qemu, plan.kernel, plan.initrd, memory,
               plan.accel) as guest:
        boot(guest, plan.progress)
        fill(guest, filled, plan.progress, filling == "fragmented")
        if not doing.on_resume:
            mark = guest.serial.send(f"{doing.command} {doing.argument}")
        for _ in range(doing.lines):
            guest.serial.wait_line(doing.line, 60, mark)
            mark = len(guest.serial.lines)
        save(guest, path, plan.progress)


def make_whole(plan, path, *args):
    """The file gets its name when it is complete"""
    with temporary_file(path.with_name(path.name + ".new")) as new:
        make(plan, new, *args)
        drop_from_page_cache(new)       # and so to the disk
        os.rename(new, path)


@contextmanager
def snapshot(plan, filling, activity, memory=None, filled=None):
    """One snapshot; kept afterwards only if that was asked for"""
    memory, filled = memory or plan.memory, filled or plan.fill
    where = plan.snapshots or plan.output
    path = where / f"{activity}-{filling}-{memory}-{filled}.snapshot"
    if not plan.snapshots:
        path.unlink(missing_ok=True)
    try:
        if path.exists():
            print(f"  snapshot       {path}: {mib(path.stat().st_size)}, "
                  "as it is", flush=True)
        else:
            make_whole(plan, path, memory, filled, filling, activity)
        yield describe(path, memory, filled, activity)
    finally:
        if not plan.snapshots:
            path.unlink(missing_ok=True)
