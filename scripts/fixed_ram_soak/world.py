# SPDX-License-Identifier: GPL-2.0-or-later
"""What the cycles of a soak share."""

from collections import Counter
from dataclasses import dataclass, field
import os
from pathlib import Path
import resource
import shutil
import subprocess
import time

from fixed_ram.qmp import Failure

SLOWNESS = 4            # of a QEMU that has sanitizers in it
# what a cycle leaves, but for the snapshots
PASSING = ("cycle-*", "copy-of-*", "cut", "broken", "stray")
KEPT = ("report.json", "report.json.new", "lock")
HANG_S = 150            # nothing takes that long, though the machine be busy


@dataclass(frozen=True)
class Config:
    """What decides, with the seed, what is done"""
    max_memory: int         # MiB of a guest
    locked: bool            # memory may be locked


def may_lock_memory():
    limit = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    return os.geteuid() == 0 or limit == resource.RLIM_INFINITY


def sanitized(qemu):
    """Whether AddressSanitizer is built in"""
    done = subprocess.run(["ldd", str(qemu)], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True, check=False)
    return "libasan" in done.stdout


@dataclass
class World:
    qemu: Path
    qemu_img: Path
    build: Path
    kernel: Path
    initrd: Path
    dir: Path
    env: dict = field(default_factory=dict)
    counts: dict = field(default_factory=dict)
    slowest_end_s: float = 0.0
    slowness: float = 1     # of QEMU, by a sanitizer
    cycle: int = 0
    start: float = field(default_factory=time.monotonic)
    _log: object = None
    _logs: int = 0

    def use_sanitizer(self):
        self.slowness = SLOWNESS
        self.env = {"ASAN_OPTIONS": "detect_leaks=0",
                    "UBSAN_OPTIONS": "print_stacktrace=1"}

    @property
    def hang_s(self):
        return HANG_S * self.slowness

    # ------------------------------------------------------------ figures

    def count(self, table, name, n=1):
        self.counts.setdefault(table, Counter())[name] += n

    def note_end(self, how, took, promised):
        self.count("ends", how)
        self.slowest_end_s = max(self.slowest_end_s, round(took, 2))
        if took > promised:
            self.count("ends", f"later than {promised} s")

    # ------------------------------------------------------------ files

    @property
    def disk(self):
        return self.dir / "disk.qcow2"

    def snapshot(self, which):
        return self.dir / f"snapshot-{which}"

    def make_disk(self):
        """With a snapshot of the disk alone: a name for loadvm to find"""
        self.disk.unlink(missing_ok=True)
        for words in (["create", "-q", "-f", "qcow2", self.disk, "64M"],
                      ["snapshot", "-c", "disk-only", self.disk]):
            done = subprocess.run(
                [self.qemu_img, *words], env={**os.environ, **self.env},
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE, text=True, check=False)
            if done.returncode:
                raise Failure(f"qemu-img {words[0]}: {done.stderr.strip()}")

    def remove_files(self):
        """All but the report"""
        for path in self.dir.iterdir():
            if path.name not in KEPT:
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    # ------------------------------------------------------------ logs

    def begin_cycle(self, number):
        """The last cycle's logs go; a cycle that fails is the last one"""
        self.end_logs()
        for pattern in PASSING:
            for path in self.dir.glob(pattern):
                path.unlink()
        self.cycle = number
        self._logs = 0
        self._log = open(self.dir / f"cycle-{number}.log", "w", buffering=1,
                         encoding="utf-8")

    def end_logs(self):
        if self._log:
            self._log.close()
            self._log = None

    def new_log(self):
        """A file for what a QEMU process says"""
        self._logs += 1
        return self.dir / f"cycle-{self.cycle}.qemu-{self._logs}"

    def log(self, text):
        if self._log:
            self._log.write(f"{time.monotonic() - self.start:9.3f} {text}\n")
