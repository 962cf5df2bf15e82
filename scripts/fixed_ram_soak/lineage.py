# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest over its generations: saved, loaded, saved again."""

from dataclasses import dataclass, field
import os
from pathlib import Path

from fixed_ram.child import run

from .devices import Devices

COPY_S = 300


@dataclass
class Lineage:
    machine: object
    path: Path = None       # the latest snapshot
    offset: int = 0
    saved: str = ""         # the capability that the latest was saved with
    layers: list = field(default_factory=list)  # files that the latest needs
    filled: int = 0         # MiB
    activity: str = ""      # what the guest does since before it was saved
    devices: Devices = field(default_factory=Devices)
    generation: int = 0

    def one_block(self):
        """Whether all of the guest's memory is one block, the first one

        Under TCG QEMU 10.0 misses writes to other blocks in a live migration,
        or aborts: it takes a block's offsets for addresses of all RAM
        (cpu_physical_memory_sync_dirty_bitmap()).
        """
        return self.machine.kind in ("plain", "shared", "prealloc") \
            and not self.devices.dimms

    def uri(self, path=None):
        offset = f",offset={self.offset:#x}" if self.offset else ""
        return f"file:{path or self.path}{offset}"


def copy_file(source, target):
    """Holes stay holes"""
    run(["cp", "--sparse=always", "--reflink=auto", "--", source, target],
        COPY_S)


def write_over(source, target):
    """The same bytes, in the file that is there"""
    size = source.stat().st_size
    with open(source, "rb") as old, open(target, "r+b") as new:
        new.truncate(size)
        for start, length in _data(old, size):
            old.seek(start)
            new.seek(start)
            while length:
                piece = old.read(min(length, 1 << 20))
                new.write(piece)
                length -= len(piece)


def _data(file, size):
    """(start, length) of what is no hole"""
    start = 0
    while start < size:
        try:
            start = os.lseek(file.fileno(), start, os.SEEK_DATA)
        except OSError:
            return
        end = os.lseek(file.fileno(), start, os.SEEK_HOLE)
        yield start, end - start
        start = end
