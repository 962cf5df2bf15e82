# SPDX-License-Identifier: GPL-2.0-or-later
"""How much is measured, as this machine's memory and disk allow."""

from dataclasses import dataclass, field
import os
from pathlib import Path
import platform
import shutil
from typing import NamedTuple

from fixed_ram.child import run
from fixed_ram.machine import (GUEST_RESERVE_MIB, RESERVE_MIB, available_mib,
                               meminfo_mib)
from fixed_ram.qmp import Failure

SMALLEST_MIB = 768
STEP_MIB = 256
# the sections that have snapshots of the large guest of their own
SNAPSHOTS = {"light", "work", "storms", "sets", "clones"}
WITH_A_SET = {"storms", "sets", "clones"}


class Scale(NamedTuple):
    memory: int             # of the guest, MiB
    fill: int               # how many eighths of it are filled
    rounds: int
    growth: tuple           # sizes of guests
    growth_fill: int
    sparse: int             # a guest of which little is ever touched
    sparse_fill: int
    watch_s: float          # how long the work is watched after the load
    work_fillings: int      # of how many storms, sets and settings are measured
    record_s: int           # how long a working set is recorded
    settings_fill: int      # of guests that are saved as users save them
    settle_s: float         # how long huge pages may take to be collected
    quiet_s: float          # their number unchanged for so long: all there
    fio_s: float
    fio_mib: int            # at most, of sequential reads
    write_mib: int
    cold_mib: int           # the engine alone: a file read from the disk ...
    warm_mib: int           # ... and one from the page cache
    cold_touches: int       # of each thread
    warm_touches: int
    touchers: tuple
    clone_sizes: tuple      # of guests that are mapped
    clones: int             # started together
    clone_memory: int       # of each of these
    clone_fill: int
    rollbacks: int          # and as many times loadvm
    delta_change: int       # MiB that change between a base and its delta
    delta_sizes: tuple      # of mapped guests of which a delta is saved
    delta_written: int      # MiB that each of these has written
    layer_change: int       # MiB that change between two deltas of a chain
    window_s: float         # how long a guest's rate is watched before a save
    checkpoints: int        # live deltas in a row ...
    checkpoint_s: float     # ... and the time from one to the next


FULL = Scale(memory=8192, fill=7, rounds=5,
             growth=(1024, 2048, 4096, 8192, 16384), growth_fill=512,
             sparse=16384, sparse_fill=176, watch_s=3, work_fillings=2,
             record_s=20, settings_fill=2048, settle_s=60, quiet_s=1, fio_s=3,
             fio_mib=4096, write_mib=2048, cold_mib=4096, warm_mib=1024,
             cold_touches=2000, warm_touches=20000, touchers=(1, 2, 4, 8),
             clone_sizes=(1024, 8192, 16384), clones=16, clone_memory=1024,
             clone_fill=700, rollbacks=20, delta_change=64,
             delta_sizes=(1024, 8192), delta_written=16, layer_change=16,
             window_s=3, checkpoints=60, checkpoint_s=10)
QUICK = Scale(memory=768, fill=4, rounds=1,
              growth=(512, 1024), growth_fill=128,
              sparse=2048, sparse_fill=64, watch_s=1, work_fillings=1,
              record_s=2, settings_fill=128, settle_s=2, quiet_s=0.3, fio_s=0.3,
              fio_mib=256, write_mib=128, cold_mib=256, warm_mib=128,
              cold_touches=300, warm_touches=3000, touchers=(1, 2, 4, 8),
              clone_sizes=(256, 512), clones=3, clone_memory=512,
              clone_fill=200, rollbacks=3, delta_change=4,
              delta_sizes=(256, 512), delta_written=4, layer_change=2,
              window_s=0.3, checkpoints=3, checkpoint_s=2)


@dataclass
class Plan:
    """All that the sections of the benchmark are told"""
    scale: Scale
    build: Path
    output: Path
    snapshots: Path         # where they are kept, or None
    sections: tuple
    fillings: tuple
    rounds: int
    memory: int = 0         # of the guest, MiB
    fill: int = 0
    growth: tuple = ()
    sparse: int = 0
    clone_sizes: tuple = ()
    delta_sizes: tuple = ()
    clones: int = 0
    kernel: Path = None
    records: bool = False   # this QEMU can record a working set
    machine_type: str = ""  # the one that "pc" stands for in this QEMU
    peer: Path = None       # a newer QEMU without this series, if there is one
    accel: str = "tcg"
    accel_text: str = ""
    fio: object = None
    no_fio: str = None      # why there is none
    progress: object = None
    notes: list = field(default_factory=list)

    @property
    def qemu(self):
        return self.build / "qemu-system-x86_64"

    @property
    def qemu_img(self):
        return self.build / "qemu-img"

    @property
    def initrd(self):
        return self.build / "guest" / "initramfs.cpio.gz"

    @property
    def engine(self):
        return (self.build / "tests" / "bench" / "fixed-ram"
                / "fixed-ram-bench-engine")

    @property
    def snapshot_tool(self):
        return self.build / "qemu-snapshot"

    @property
    def work_fillings(self):
        """The last one counts most: its zero pages make it harder"""
        return self.fillings[-self.scale.work_fillings:]

    def in_turns(self, things, number):
        """In a round another one is first, every other round goes backwards"""
        first = number * len(things) // max(self.rounds, 1) % len(things)
        order = list(things[first:]) + list(things[:first])
        return order if number % 2 == 0 else order[::-1]

    def note(self, text):
        if text not in self.notes:
            self.notes.append(text)

    def choose_sizes(self):
        self.memory = self._guest_memory()
        self.fill = self.filled(self.memory)
        self.growth = self._sizes(self.scale.growth)
        self.sparse = self._sparse_memory()
        if "save" in self.sections:
            self._check_disk(self.fill + GUEST_RESERVE_MIB
                             + self.scale.write_mib)
        if "engine" in self.sections:
            self._check_disk(self.scale.cold_mib + self.scale.warm_mib)
        if "growth" in self.sections:
            self._check_disk(self._disk_for_sizes(self.growth))
        if "clones" in self.sections:
            self.clone_sizes = self._sizes(self.scale.clone_sizes)
            self.clones = self._number_of_clones()
            self._check_disk(self._disk_for_sizes(self.clone_sizes))
        if "deltas" in self.sections:
            self.delta_sizes = self._sizes(self.scale.delta_sizes)
            self._check_disk(self.disk_for_deltas())

    def disk_for_deltas(self):
        """Four whole snapshots at a time, and the deltas beside them

        A page that has changed may take a whole cluster of 64 KiB.
        """
        sizes = sum(self.filled(size) + GUEST_RESERVE_MIB
                    for size in self.delta_sizes)
        return (max(4 * (self.fill + GUEST_RESERVE_MIB), sizes)
                + 16 * self.scale.delta_change)

    def _disk_for_sizes(self, sizes):
        # what a kernel writes grows with its memory
        return sum(self.scale.growth_fill + 128 + size // 50
                   for size in sizes)

    def _number_of_clones(self):
        """On demand each has a copy of all"""
        each = self.scale.clone_fill + GUEST_RESERVE_MIB
        room = max(2, (available_mib() - RESERVE_MIB) // each)
        if room < self.scale.clones:
            self.note(f"{room} clones instead of {self.scale.clones}, which "
                      f"take {each} MiB each on demand")
        return min(room, self.scale.clones)

    def filled(self, memory):
        """MiB; a small guest needs more than an eighth for itself"""
        return min(memory * self.scale.fill // 8, memory - GUEST_RESERVE_MIB)

    def _memory_for(self, memory):
        # a warm file is in the page cache while the guest is loaded from it
        return memory + self.filled(memory) + RESERVE_MIB

    def _disk_for(self, memory):
        kinds = max(1, len(SNAPSHOTS & set(self.sections)))
        snapshots = kinds * len(self.fillings) if self.snapshots else 1
        # the copies with a working set, and the packed pages of that
        snapshots += bool(WITH_A_SET & set(self.sections))
        return (snapshots * (self.filled(memory) + GUEST_RESERVE_MIB)
                + self.scale.write_mib + RESERVE_MIB)

    def _guest_memory(self):
        room, disk = available_mib(), self._free_disk()
        for memory in range(self.scale.memory, SMALLEST_MIB - 1, -STEP_MIB):
            if self._memory_for(memory) <= room and (
                    self._disk_for(memory) <= disk):
                break
        else:
            raise Failure(
                f"a guest of {SMALLEST_MIB} MiB needs "
                f"{self._memory_for(SMALLEST_MIB)} MiB of memory and "
                f"{self._disk_for(SMALLEST_MIB)} MiB of disk; there are "
                f"{room} and {disk}")
        if memory < self.scale.memory:
            self.note(f"a guest of {memory} MiB instead of "
                      f"{self.scale.memory}: {room} MiB of memory and {disk} "
                      "MiB of disk are free, where the guest, its snapshot in "
                      "the page cache and some reserve have to fit")
        return memory

    def _sizes(self, wanted):
        limit = meminfo_mib("MemTotal") - RESERVE_MIB
        sizes = tuple(size for size in wanted if size <= limit)
        missing = [str(s) for s in wanted if s not in sizes]
        if missing:
            self.note(f"no guests of {', '.join(missing)} MiB: this machine "
                      f"has {limit + RESERVE_MIB} MiB of memory")
        return sizes

    def _sparse_memory(self):
        """Hardly any of it is used, but a kernel may refuse too much"""
        memory = min(self.scale.sparse,
                     meminfo_mib("MemTotal") // STEP_MIB * STEP_MIB)
        if memory < self.scale.sparse and "save" in self.sections:
            self.note(f"the sparse guest has {memory} MiB instead of "
                      f"{self.scale.sparse}")
        return memory

    def _free_disk(self):
        where = self.snapshots or self.output
        return shutil.disk_usage(where).free // 2**20

    def _check_disk(self, needed):
        free = shutil.disk_usage(self.output).free // 2**20
        if free < needed + RESERVE_MIB:
            raise Failure(f"{needed + RESERVE_MIB} MiB of disk are needed in "
                          f"{self.output}, {free} MiB are free")

    def machine(self):
        """What the report says of it"""
        version = run([self.qemu, "--version"], 30).splitlines()[0]
        thp = Path("/sys/kernel/mm/transparent_hugepage/enabled")
        try:
            huge = thp.read_text().split("[")[1].split("]")[0]
        except (OSError, IndexError):
            huge = "none"
        return {"cpus": len(os.sched_getaffinity(0)),
                "memory_mib": meminfo_mib("MemTotal"),
                "kernel": platform.release(),
                "transparent_huge_pages": huge,
                "accelerator": self.accel_text,
                "qemu": version,
                "fio": self.fio.engine if self.fio else self.no_fio}
