# SPDX-License-Identifier: GPL-2.0-or-later
"""What a cycle does. The seed and the cycle's number decide all of it.

Nothing here looks at how earlier cycles went, so a cycle can be had again
without those before it, back to the last one that began with a new guest.
"""

from dataclasses import dataclass, replace
from random import Random

from . import actions, pauses
from .chains import Chain, draw_chain
from .clones import Copies, draw_copies
from .machine import draw_machine
from .sets import Sets, draw_sets

EAGER = actions.names(actions.EAGER)
PAUSES = set(pauses.KINDS)
PAUSED = actions.names(actions.PAUSED)
DURING = actions.names(actions.DURING) + (
    ("pause", 9), ("truncate", 6), ("disk-error", 8), ("disk-hang", 3))
MAPPED_PART = 0.6       # of the loads that are not on demand
FILLINGS = ("contiguous", "fragmented")
ENDS = (("sigterm", 5), ("sigint", 3), ("quit", 4))
# what comes after a load, and how often
PLANS = (("save", 40), ("kill a saver", 22), ("interrupt", 18), ("quit", 10),
         ("reset", 10))


@dataclass(frozen=True)
class Action:
    delay: float            # seconds before it
    name: str
    seed: int               # for what it draws itself
    inner: tuple = ()       # what is done during a pause


@dataclass(frozen=True)
class Save:
    capability: str
    channels: int           # of multifd; 0: without
    direct: bool
    live: bool
    offset: int             # bytes
    over: bool              # the snapshot that is there
    postcopy: bool          # the capability, which means nothing here
    activity: str           # what the guest does meanwhile
    filling: str
    seed: int               # of the content
    kill: float = None      # after this part of the time it takes

    def __str__(self):
        words = [self.capability, "live" if self.live else "stopped"]
        words += [f"multifd {self.channels}"] if self.channels else []
        words += ["direct"] if self.direct else []
        words += [f"offset {self.offset}"] if self.offset else []
        words += ["over"] if self.over else []
        words += [self.activity] if self.live and self.activity else []
        return " ".join(words)


@dataclass(frozen=True)
class Load:
    demand: bool
    capability: str
    percent: int
    hurry: float            # seconds until migrate-start-postcopy, or None
    channels: int
    direct: bool
    slow: float             # seconds that it takes by its bandwidth, or 0
    no_move: bool
    blocktime: bool
    faults: str             # what every third read says, or None
    broken: str             # what is tried to be loaded first, or None
    touch: int              # pages that the guest touches, seen to at once
    actions: tuple
    mapped: bool = False    # the snapshot becomes RAM, where that can be

    def __str__(self):
        words = [self.capability, "on demand" if self.demand else
                 "mapped" if self.mapped else "eager"]
        words += [f"{self.percent} %"] if self.percent else []
        words += ["hurried"] if self.hurry is not None else []
        words += [f"multifd {self.channels}"] if self.channels else []
        words += ["direct"] if self.direct else []
        words += [f"slow {self.slow}"] if self.slow else []
        words += ["no move"] if self.no_move else []
        words += [f"faults: {self.faults}"] if self.faults else []
        return " ".join(words)


@dataclass(frozen=True)
class Cycle:
    number: int
    fresh: bool             # with a new guest, not with the last snapshot
    machine: object         # if fresh
    first: Save             # likewise
    load: Load
    plan: str               # one of PLANS
    save: Save              # afterwards
    sets: Sets              # what is done about working sets
    copies: Copies          # of a snapshot that is mapped
    chain: Chain            # of deltas
    remains: Load           # of what a killed saver left
    end: str                # of QEMU: one of ENDS


def weighted(rng, choices):
    return rng.choices([c for c, _ in choices], [w for _, w in choices])[0]


def draw_save(rng):
    channels = rng.choice((0, 0, 1, 2, 4, 8))
    return Save(
        capability=rng.choice(("fixed-ram", "fixed-ram", "mapped-ram")),
        channels=channels, direct=rng.random() < 0.35,
        live=rng.random() < 0.6,
        offset=rng.choice((0, 0, 0, 4096, 65536, 1 << 20)),
        over=rng.random() < 0.5, postcopy=rng.random() < 0.2,
        activity=rng.choice(("", "work", "tick")),
        filling=rng.choice(FILLINGS), seed=rng.randrange(1, 1 << 30))


def draw_actions(rng, names, most):
    return tuple(Action(delay=round(rng.uniform(0, 0.3), 3),
                        name=weighted(rng, names), seed=rng.randrange(1 << 30))
                 for _ in range(rng.randint(0, most)))


def draw_during(rng):
    return tuple(replace(a, inner=draw_actions(rng, PAUSED, 4))
                 if a.name in PAUSES else a
                 for a in draw_actions(rng, DURING, 9))


def draw_load(rng):
    demand = rng.random() < 0.8
    percent = rng.choice((0, 0, 0, 0, rng.randint(1, 60),
                          rng.randint(50, 100))) if demand else 0
    return Load(
        demand=demand, percent=percent,
        capability=rng.choice(("fixed-ram", "mapped-ram") if demand
                              else ("fixed-ram",)),
        hurry=round(rng.uniform(0, 1), 3)
        if percent and rng.random() < 0.4 else None,
        channels=rng.choice((0, 0, 1, 2, 3, 4, 8, 16)),
        direct=rng.random() < 0.35,
        slow=rng.choice((0, 2, 5, 10)),
        no_move=rng.random() < 0.25, blocktime=rng.random() < 0.2,
        faults=rng.choice((None, None, None, *pauses.TRANSIENT)),
        broken=rng.choice((None,) * 6 + ("truncated", "garbage", "empty",
                                         "missing")),
        touch=rng.choice((0, 0, 50, 500)),
        actions=draw_during(rng) if demand else draw_actions(rng, EAGER, 4))


def with_action(rng, load, name):
    """The same load with one action more, the last one that is done"""
    action = Action(round(rng.uniform(0, 0.5), 3), name, rng.randrange(1 << 30))
    actions = list(load.actions[:rng.randint(0, len(load.actions))])
    pauses = [i for i, a in enumerate(actions)
              if a.name in PAUSES]
    if pauses and name != "reset" and rng.random() < 0.6:
        i = rng.choice(pauses)
        actions[i] = replace(actions[i], inner=actions[i].inner + (action,))
        return replace(load, actions=tuple(actions[:i + 1]))
    return replace(load, actions=tuple(actions) + (action,))


def draw_cycle(seed, number, config):
    rng = Random(f"{seed}/{number}")
    fresh = rng.random() < 0.3
    machine = draw_machine(rng, config.max_memory, config.locked)
    load = draw_load(rng)
    if not load.demand:
        # by itself, so that it does not change what else a seed stands for
        load = replace(load, mapped=Random(f"{seed}/{number}/mapped").random()
                       < MAPPED_PART)
    plan = weighted(rng, PLANS)
    end = weighted(rng, ENDS)
    if plan == "interrupt":
        load = with_action(rng, load, end)
    elif plan == "reset":
        load = with_action(rng, load, "reset")
    save = draw_save(rng)
    if plan == "kill a saver":
        save = replace(save, kill=round(rng.uniform(0, 1.3), 3))
    return Cycle(number=number, fresh=fresh or number == 1, machine=machine,
                 first=draw_save(rng), load=load, plan=plan, save=save,
                 sets=draw_sets(seed, number),
                 copies=draw_copies(seed, number),
                 chain=draw_chain(seed, number),
                 remains=replace(draw_load(rng), broken=None, touch=0,
                                actions=()),
                 end=end)


def draw(seed, number, config):
    """The cycle; one that follows a killed saver has no snapshot to go on"""
    cycle = draw_cycle(seed, number, config)
    if number > 1 and draw_cycle(seed, number - 1,
                                 config).plan == "kill a saver":
        cycle = replace(cycle, fresh=True)
    return cycle


def first_of_lineage(seed, number, config):
    """The cycle with the new guest that this cycle's snapshot comes from"""
    while not draw(seed, number, config).fresh:
        number -= 1
    return number
