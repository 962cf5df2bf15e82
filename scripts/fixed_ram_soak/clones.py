# SPDX-License-Identifier: GPL-2.0-or-later
"""What a mapped snapshot is for: clones of it, and going back to it."""

from dataclasses import dataclass, replace
from random import Random
import re

from .loading import verify
from .saving import fill
from .vm import GuestLost

# Devices that have come or gone since the load
CHANGED = "was (un)?plugged since|bytes, it had"


@dataclass(frozen=True)
class Copies:
    rollbacks: tuple        # for each: the seed of new content, 0: none
    clones: int             # of the same snapshot, while the first one runs

    def __str__(self):
        words = [f"{len(self.rollbacks)} rollbacks"] if self.rollbacks else []
        words += [f"{self.clones} clones"] if self.clones else []
        return ", ".join(words)


def draw_copies(seed, number):
    """By itself, so that it does not change what else a seed stands for"""
    rng = Random(f"{seed}/{number}/copies")
    return Copies(
        rollbacks=tuple(rng.choice((0, rng.randrange(1, 1 << 30)))
                        for _ in range(rng.choice((0, 1, 2, 5)))),
        clones=rng.choice((0, 0, 1, 2)))


def clone_load(load):
    """The same load without its adventures"""
    return replace(load, actions=(), faults=None, broken=None, touch=0,
                   hurry=None, slow=0)


def roll_back(vm, lineage, save, copies):
    """Back to the snapshot, each time from another content"""
    for seed in copies.rollbacks:
        if seed:
            # the lineage is what it will be again
            fill(vm, replace(lineage), replace(save, seed=seed))
        answer = vm.ask("fixed-ram-rollback", {
            "disks": "keep" if vm.machine.disk else "refuse"})
        if not answer.ok:
            if not re.search(CHANGED, answer.why):
                raise GuestLost(answer.why)
            vm.world.count("rollbacks", "refused")
            return
        if vm.order("query-status")["status"] != "running":
            vm.order("cont")
        verify(vm, lineage)
        vm.world.count("rollbacks", "verified")
