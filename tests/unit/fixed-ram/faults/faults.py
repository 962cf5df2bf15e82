# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads of a file that fail: the driver of tests/unit/fixed-ram/faults.

    faults = Faults(control_path)
    ...start QEMU with faults.environment(build)...
    faults.target(snapshot)
    faults.fail(errno.EIO)
    ...
    faults.off()
"""

import ctypes
import mmap
import os
from pathlib import Path

LIBRARY = "tests/unit/fixed-ram/faults/libfixed-ram-faults.so"  # in the build
SIZE = 4096
OFF, ERROR, SHORT, HANG = range(4)
ALWAYS = 2**64 - 1


class Rule(ctypes.LittleEndianStructure):
    """The first one of faults.h; each access to a field is a single one"""
    _fields_ = [("mode", ctypes.c_uint32), ("error", ctypes.c_int32),
                *((name, ctypes.c_uint64) for name in (
                    "device", "inode", "first", "end", "after", "every",
                    "left", "reads", "injected", "hanging"))]


class Faults:
    """Told in the file `path`, which is made here; one file, one rule"""

    def __init__(self, path):
        self.path = Path(path)
        self._total = 0
        with open(path, "w+b") as f:
            f.truncate(SIZE)
            self._rule = Rule.from_buffer(mmap.mmap(f.fileno(), SIZE))

    def close(self):
        """Nothing fails any more"""
        self.off()
        self.path.unlink(missing_ok=True)

    def environment(self, build, base=None):
        """That of a process whose reads can fail; build is QEMU's folder"""
        env = dict(os.environ if base is None else base)
        env["LD_PRELOAD"] = str(Path(build).resolve() / LIBRARY)
        env["QEMU_FIXED_RAM_FAULTS"] = str(self.path.resolve())
        env["ASAN_OPTIONS"] = ":".join(filter(None, (
            env.get("ASAN_OPTIONS"), "verify_asan_link_order=0")))
        return env

    def _arm(self, mode, **fields):
        self.off()
        fields = {"error": 0, "first": 0, "end": ALWAYS, "after": 0,
                  "every": 1, "left": ALWAYS, "reads": 0, **fields}
        for name, value in fields.items():
            setattr(self._rule, name, value)
        self._rule.mode = mode

    def target(self, file):
        """The one file whose reads fail: what this path leads to now"""
        st = os.stat(file)
        self.off()
        self._rule.device = st.st_dev
        self._rule.inode = st.st_ino

    def off(self):
        """Nothing fails any more, and what hangs goes on"""
        self._rule.mode = OFF
        self._total += self._rule.injected
        self._rule.injected = 0

    def fail(self, error, first=0, length=None, after=0, every=1,
             times=ALWAYS):
        """Reads that touch these bytes fail with this errno"""
        end = ALWAYS if length is None else first + length
        self._arm(ERROR, error=error, first=first, end=end, after=after,
                  every=every, left=times)

    def turn(self, error):
        """The reads that hang now, and those like them, fail instead"""
        self._rule.error = error
        self._rule.mode = ERROR

    def short(self, first=0, after=0):
        """The file ends here"""
        self._arm(SHORT, first=first, after=after)

    def hang(self, first=0, length=None, after=0):
        """Reads that touch these bytes wait until this is changed"""
        end = ALWAYS if length is None else first + length
        self._arm(HANG, first=first, end=end, after=after)

    @property
    def hanging(self):
        """How many reads wait now"""
        return self._rule.hanging

    @property
    def injected(self):
        """How many reads have failed since the beginning"""
        return self._total + self._rule.injected
