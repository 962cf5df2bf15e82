# SPDX-License-Identifier: GPL-2.0-or-later
"""Working sets: guessed by saves, recorded, used, and changed by the tool."""

from dataclasses import dataclass
import json
from random import Random

from fixed_ram.child import run as run_program

from . import pauses
from .lineage import copy_file
from .vm import GuestLost

TOOL_S = 300
EVENT = "FIXED_RAM_WORKING_SET"
# What is done with the set of a snapshot before it is loaded
CHANGES = ("", "", "", "drop", "pack", "unpack", "copy")


@dataclass(frozen=True)
class Sets:
    changes: tuple          # of CHANGES
    record: int             # seconds; 0: nothing is recorded
    pack: bool              # a record has a packed copy
    used: bool              # a load uses the set that there is

    def __str__(self):
        words = [change for change in self.changes if change]
        words += [f"record {self.record} s"] if self.record else []
        words += ["no pack"] if self.record and not self.pack else []
        words += ["unused"] if not self.used else []
        return "sets: " + " ".join(words) if words else ""


def draw_sets(seed, number):
    """By itself, so that it does not change what else a seed stands for"""
    rng = Random(f"{seed}/{number}/sets")
    return Sets(changes=tuple(rng.choice(CHANGES)
                              for _ in range(rng.randint(0, 3))),
                record=rng.choice((0, 0, 1, 1, 3)), pack=rng.random() < 0.7,
                used=rng.random() < 0.85)


# ---------------------------------------------------------------- the tool

class Tool:
    """qemu-snapshot, for the snapshot of a lineage"""

    def __init__(self, world, lineage):
        self._program = world.build / "qemu-snapshot"
        self._slow = TOOL_S * world.slowness
        self._start = lineage.offset
        self._offset = f"--offset={lineage.offset}"

    def there(self):
        return self._program.is_file()

    def run(self, *words):
        return run_program([self._program, *words], self._slow)

    def set_of(self, path):
        """What the tool says of the set, or None"""
        info = json.loads(self.run("info", "--output=json", self._offset,
                                   path))
        return info.get("working-set")

    def change(self, how, *paths):
        self.run("working-set", *how, self._offset, *paths)

    def copy(self, other, path):
        """The set of another copy, whose stream begins at the same place"""
        self.change(["copy-from"], f"file:{other},offset={self._start}", path)

    def check(self, path):
        self.run("check", self._offset, path)


def apply_change(tool, change, path):
    if change == "drop":
        tool.change(["drop"], path)
    elif change == "pack":
        tool.change(["pack"], path)
    elif change == "unpack":
        tool.change(["pack", "--no-pack"], path)
    else:
        other = path.with_name("copy-of-" + path.name)
        copy_file(path, other)
        tool.change(["drop"], path)
        tool.copy(other, path)
        other.unlink()


def change_sets(world, lineage, sets):
    """What the tool leaves must be the same snapshot, and good"""
    tool = Tool(world, lineage)
    if lineage.saved != "fixed-ram" or not tool.there():
        return
    old = tool.set_of(lineage.path)
    world.count("sets found", old["kind"] if old else "none")
    for change in filter(None, sets.changes):
        if tool.set_of(lineage.path):
            apply_change(tool, change, lineage.path)
            world.count("sets changed", change)
    if any(sets.changes):
        tool.check(lineage.path)


# ---------------------------------------------------------------- loads

def can_record(run, sets):
    """Whether a record is asked for that is not refused

    The soak puts a truncated file's content back, without regard to others
    that write to it.
    """
    return sets.record and run.load.demand and \
        run.lineage.saved == "fixed-ram" and \
        all(action.name != "truncate" for action in run.load.actions)


def prepare(run, sets):
    run.vm.order("migrate-set-parameters", {
        "fixed-ram-record": sets.record if can_record(run, sets) else 0,
        "fixed-ram-record-pack": sets.pack,
        "fixed-ram-working-set": sets.used})


def let_run(run, sets):
    """A record, and so its load, ends some time after the guest has started"""
    if can_record(run, sets) and not run.was_reset and \
            run.must("query-status")["status"] != "running":
        run.cont()


def may_fail(run):
    """Not only loads stop when reads fail"""
    return run.load.faults or run.was_reset or \
        any(action.name in pauses.KINDS for action in run.load.actions)


def finish(run, sets):
    """Until the record has been written, which may be after the load"""
    if not can_record(run, sets):
        return
    result = run.vm.wait_for(lambda: run.vm.event(EVENT), EVENT)
    error = result.get("error")
    if error and not may_fail(run):
        raise GuestLost(f"the record: {error}")
    run.world.count("records", "failed" if error else "written")
