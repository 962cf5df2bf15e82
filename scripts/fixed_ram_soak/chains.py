# SPDX-License-Identifier: GPL-2.0-or-later
"""Deltas: chains of snapshots that grow, and are merged while they are used."""

from dataclasses import dataclass, replace
from random import Random

from .saving import LAYOUT, wait_saved
from .sets import Tool

MOST = 6                # layers before a chain is merged in any case


@dataclass(frozen=True)
class Chain:
    delta: bool             # the next save is one, where that can be
    live: bool              # while the guest runs, where that can be
    merge: bool             # before the load; else beside a clone

    def __str__(self):
        return "delta" + (" live" if self.live else "") if self.delta else ""


def draw_chain(seed, number):
    """By itself, so that it does not change what else a seed stands for"""
    rng = Random(f"{seed}/{number}/chain")
    return Chain(delta=rng.random() < 0.5, live=rng.random() < 0.4,
                 merge=rng.random() < 0.25)


def chain_load(lineage, load):
    """The same load, as a delta needs it"""
    return replace(load, capability="fixed-ram") if lineage.layers else load


def can_be_delta(lineage, cycle):
    return cycle.chain.delta and cycle.plan == "save" and \
        lineage.saved == "fixed-ram" and not lineage.offset


def save_delta(vm, lineage, cycle, path, live):
    """The guest's content is what it was, so little has changed"""
    save = cycle.save
    capabilities = ["events", "fixed-ram"]
    capabilities += ["background-snapshot"] if live else []
    vm.switch(off=LAYOUT)
    vm.switch(on=capabilities)
    vm.order("migrate-set-parameters", {
        "max-bandwidth": 0, "direct-io": save.direct,
        "fixed-ram-base": str(lineage.path)})
    if not live:
        vm.order("stop")
    mark = vm.mark()
    vm.order("migrate", {"uri": f"file:{path}"})
    wait_saved(vm, mark, "saving a delta")
    lineage.layers.append(lineage.path)
    lineage.path = path
    lineage.generation += 1
    vm.world.count("saves", "delta")
    vm.world.count("saves", "live delta" if live else "stopped delta")


def _merge(world, lineage, path):
    tool = Tool(world, lineage)
    path.unlink(missing_ok=True)
    tool.run("merge", lineage.path, path)
    tool.check(path)


def forget_layers(lineage):
    """They are needed by no snapshot any more"""
    for path in lineage.layers:
        if path != lineage.path:
            path.unlink(missing_ok=True)
    lineage.layers = []


def merge_chain(world, lineage, chain):
    """What is loaded next is full again"""
    if not lineage.layers or not Tool(world, lineage).there() or \
            not (chain.merge or len(lineage.layers) >= MOST):
        return
    merged = lineage.path.with_name("copy-of-merged")
    _merge(world, lineage, merged)
    world.count("chains merged", f"{len(lineage.layers)} layers")
    merged.rename(lineage.path)
    forget_layers(lineage)


def merge_beside(world, lineage):
    """While clones run from the layers; the result is not used"""
    if lineage.layers and Tool(world, lineage).there():
        merged = lineage.path.with_name("copy-of-merged")
        _merge(world, lineage, merged)
        merged.unlink()
        world.count("chains merged", "beside clones")
