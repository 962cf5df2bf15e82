# SPDX-License-Identifier: GPL-2.0-or-later
"""The ways to load and to save a snapshot that are compared."""

from typing import NamedTuple

FILLINGS = ("contiguous", "fragmented")


class Mode(NamedTuple):
    capabilities: tuple
    parameters: dict = {}
    warm: bool = False          # the file in the page cache, on purpose
    touches: int = 0            # at random, from the moment the guest runs


BASE = ("mapped-ram",)
MULTIFD = BASE + ("multifd",)
OURS = ("fixed-ram",)
DEMAND = OURS + ("postcopy-ram",)
DIRECT = {"direct-io": True}
PERCENT = {**DIRECT, "fixed-ram-precopy-percent": 10}
CHANNELS = {**DIRECT, "multifd-channels": 4}
UNVERIFIED = {"fixed-ram-verify": False}

MODES = {
    "base-plain": Mode(BASE),
    "base-direct": Mode(MULTIFD, CHANNELS),
    "fixed-ram": Mode(OURS),
    "fixed-ram-direct": Mode(OURS, DIRECT),
    "fixed-ram-unverified": Mode(OURS, {**DIRECT, **UNVERIFIED}),
    "on-demand": Mode(DEMAND, DIRECT),
    "on-demand-unverified": Mode(DEMAND, {**DIRECT, **UNVERIFIED}),
    "on-demand-buffered": Mode(DEMAND),
    "on-demand-warm": Mode(DEMAND, warm=True),
    "on-demand-touched": Mode(DEMAND, DIRECT, touches=5000),
    "percent-10": Mode(DEMAND, PERCENT),
}

BASE_MODES = ("base-plain", "base-direct")
EAGER_MODES = ("fixed-ram", "fixed-ram-direct")
LIGHT = tuple(MODES)
WORK = ("base-plain", "base-direct", "fixed-ram", "on-demand",
        "on-demand-warm", "percent-10")
GROWTH = ("base-plain", "on-demand")


class Save(NamedTuple):
    capabilities: tuple
    parameters: dict = {}

    @property
    def has_sums(self):
        return (self.capabilities[0] == "fixed-ram"
                and self.parameters.get("fixed-ram-verify", True))


# for each save, unless its mode says something else; 0: no limit
SAVE_DEFAULTS = {"max-bandwidth": 0, "multifd-channels": 4,
                 "direct-io": False, "fixed-ram-verify": True}

SAVES = {
    "base-plain": Save(BASE),
    "base-multifd": Save(MULTIFD),
    "base-multifd-direct": Save(MULTIFD, DIRECT),
    "fixed-ram": Save(OURS),
    "fixed-ram-no-sums": Save(OURS, UNVERIFIED),
    "fixed-ram-direct": Save(OURS, DIRECT),
    "fixed-ram-direct-no-sums": Save(OURS, {**DIRECT, **UNVERIFIED}),
}

BASE_BUFFERED_SAVES = ("base-plain", "base-multifd")
BASE_DIRECT_SAVES = ("base-multifd-direct",)
BASE_SAVES = BASE_BUFFERED_SAVES + BASE_DIRECT_SAVES
SPARSE_SAVES = ("base-plain", "fixed-ram")


def is_on_demand(name):
    return "postcopy-ram" in MODES[name].capabilities


class Activity(NamedTuple):
    """What the guest does while it is saved, and goes on with afterwards"""
    command: str                # of the guest program
    argument: str
    line: str                   # what each of its lines looks like
    period_ms: int              # between two of them
    lines: int                  # so many come before the guest is saved


ACTIVITIES = {
    "light": Activity("tick", "20", r"^tick (\d+) t=(\d+)", 20, 5),
    "work": Activity("work", "256", r"^work (\d+) t=(\d+) stall=(\d+)", 100,
                     20),
    # a first output that hardly depends on when in its period it was saved
    "growth": Activity("tick", "2", r"^tick (\d+) t=(\d+)", 2, 50),
}
