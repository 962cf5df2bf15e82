# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that are not what they were, and files that never were any good."""

import fcntl
import os
from random import Random
import struct

from .lineage import copy_file, write_over

FLOCK = "hhqqi4x"       # struct flock: type, whence, start, length, pid


def cut_copy(world, lineage, part):
    """A copy of the snapshot that ends within its pages"""
    path = world.dir / "cut"
    copy_file(lineage.path, path)
    os.truncate(path, int(path.stat().st_size * part))
    return path


def broken_file(world, lineage, kind):
    path = world.dir / "broken"
    path.unlink(missing_ok=True)
    if kind == "truncated":
        cut_copy(world, lineage, 0.8).rename(path)
    elif kind == "garbage":
        path.write_bytes(Random(0).randbytes(1 << 20))
    elif kind == "empty":
        path.touch()
    return path


def try_lock(path, start, exclusive):
    """Whether one can be had now; it is given back"""
    kind = fcntl.F_WRLCK if exclusive else fcntl.F_RDLCK
    with open(path, "r+b") as f:
        try:
            fcntl.fcntl(f, fcntl.F_OFD_SETLK, struct.pack(
                FLOCK, kind, os.SEEK_SET, start, 0, 0))
        except BlockingIOError:
            return False
    return True


def spare_copy(path):
    """A second snapshot that is the same"""
    copy = path.with_name("copy-of-" + path.name)
    copy_file(path, copy)
    return copy


class Truncated:
    """A file loses its end, until repair(); use it in a `with`"""

    def __init__(self, path, good, part):
        self.path = path
        self._good = good       # what it was
        self._part = part
        self._whole = True

    def __enter__(self):
        size = int(self.path.stat().st_size * self._part)
        self._whole = False
        os.truncate(self.path, size & ~0xfff if self._part > 0.5 else size)
        return self

    def repair(self):
        if not self._whole:
            write_over(self._good, self.path)
            self._whole = True

    def __exit__(self, *_):
        self.repair()
