# SPDX-License-Identifier: GPL-2.0-or-later
"""The ways to load and to save a snapshot that are compared."""

from typing import NamedTuple

FILLINGS = ("contiguous", "fragmented")


class Mode(NamedTuple):
    capabilities: tuple
    parameters: dict = {}
    warm: bool = False          # the file in the page cache, on purpose
    touches: int = 0            # at random, from the moment the guest runs
    has_set: bool = False       # the snapshot with a recorded working set
    small_pages: bool = False   # the host gives no huge pages
    peer: bool = False          # by a newer QEMU without this series


BASE = ("mapped-ram",)
MULTIFD = BASE + ("multifd",)
OURS = ("fixed-ram",)
DEMAND = OURS + ("postcopy-ram",)
DIRECT = {"direct-io": True}
BUFFERED = {"direct-io": False}
PERCENT = {**DIRECT, "fixed-ram-precopy-percent": 10}
CHANNELS = {**DIRECT, "multifd-channels": 4}
UNVERIFIED = {"fixed-ram-verify": "off"}
MAPPED = {"fixed-ram-load-mode": "mapped"}

# without a parameter: as it is for a user that sets none
MODES = {
    "base-plain": Mode(BASE),
    "base-direct": Mode(MULTIFD, CHANNELS),
    "peer-plain": Mode(BASE, peer=True),
    "peer-direct": Mode(MULTIFD, CHANNELS, peer=True),
    "fixed-ram": Mode(OURS),
    "fixed-ram-warm": Mode(OURS, warm=True),
    "fixed-ram-direct": Mode(OURS, DIRECT),
    "fixed-ram-direct-warm": Mode(OURS, DIRECT, warm=True),
    "fixed-ram-buffered": Mode(OURS, BUFFERED),
    "fixed-ram-buffered-warm": Mode(OURS, BUFFERED, warm=True),
    "fixed-ram-unverified": Mode(OURS, {**DIRECT, **UNVERIFIED}),
    "on-demand": Mode(DEMAND, DIRECT),
    "on-demand-direct-warm": Mode(DEMAND, DIRECT, warm=True),
    "on-demand-unverified": Mode(DEMAND, {**DIRECT, **UNVERIFIED}),
    "on-demand-default": Mode(DEMAND),
    "on-demand-buffered": Mode(DEMAND, BUFFERED),
    "on-demand-buffered-warm": Mode(DEMAND, BUFFERED, warm=True),
    "on-demand-warm": Mode(DEMAND, warm=True),
    "on-demand-touched": Mode(DEMAND, DIRECT, touches=5000),
    "on-demand-set": Mode(DEMAND, DIRECT, has_set=True),
    "percent-10": Mode(DEMAND, PERCENT),
    "mapped": Mode(OURS, MAPPED),
    "mapped-warm": Mode(OURS, MAPPED, warm=True),
    "mapped-set": Mode(OURS, MAPPED, has_set=True),
    "fixed-ram-small-pages": Mode(OURS, DIRECT, small_pages=True),
}

BASE_MODES = ("base-plain", "base-direct")
# measured where there is such a QEMU
PEER_MODES = ("peer-plain", "peer-direct")
EAGER_MODES = ("fixed-ram", "fixed-ram-direct")
LIGHT = (*BASE_MODES, *EAGER_MODES, "fixed-ram-unverified", "on-demand",
         "on-demand-unverified", "on-demand-buffered", "on-demand-warm",
         "on-demand-touched", "percent-10", "mapped")
WORK = ("base-plain", "base-direct", "fixed-ram", "on-demand",
        "on-demand-warm", "percent-10", "mapped")
GROWTH = ("base-plain", "on-demand", "mapped")
STORMS = ("fixed-ram-direct", "on-demand", "on-demand-set")
SETS = (*BASE_MODES, *STORMS)
EAGER_AT_WORK, SMALL_PAGES = "fixed-ram-direct", "fixed-ram-small-pages"
CLONES_AT_WORK = (EAGER_AT_WORK, SMALL_PAGES, "on-demand", "mapped",
                  "mapped-warm", "mapped-set")
# of clones that are started together: fixed-ram-load-mode, and other settings
HERDS = {
    "mapped": ("mapped", {}),
    "mapped-no-set": ("mapped", {"fixed-ram-working-set": False}),
    "on-demand": ("on-demand", {}),
    "eager": ("eager", {}),
}
# back to the snapshot that was loaded
BACK = ("rollback", "loadvm")
# what changes between a base and its delta: pages that lie side by side
CHANGES = {"random": 1, "runs": 256}
CHAIN = ("chain", "full")
MERGE = ("merge", "copy")
# of a live save: the guest's memory, and what the guest does meanwhile
PAGE_SIZES = ("2 MiB", "4 KiB")
LIVE = ("light", "writer")
STOPPED = "stopped"


class Choice(NamedTuple):
    """Settings left alone, and those that a user might have chosen"""
    default: str
    explicit: tuple


LOAD_CHOICES = {
    "eager": Choice("fixed-ram", ("fixed-ram-direct", "fixed-ram-buffered")),
    "eager warm": Choice("fixed-ram-warm", ("fixed-ram-direct-warm",
                                            "fixed-ram-buffered-warm")),
    "on demand": Choice("on-demand-default", ("on-demand",
                                              "on-demand-buffered")),
    "on demand warm": Choice("on-demand-warm", ("on-demand-direct-warm",
                                                "on-demand-buffered-warm")),
}


class Save(NamedTuple):
    """parameters: beside SAVE_DEFAULTS; None: neither these nor those"""
    capabilities: tuple
    parameters: dict = {}

    @property
    def has_sums(self):
        return (self.capabilities[0] == "fixed-ram"
                and (self.parameters or {}).get("fixed-ram-verify", "on") != "off")

    @property
    def is_live(self):
        return "background-snapshot" in self.capabilities


# for each save, unless its mode says something else; 0: no limit
SAVE_DEFAULTS = {"max-bandwidth": 0, "multifd-channels": 4,
                 "direct-io": False, "fixed-ram-verify": "on"}

SAVES = {
    "base-plain": Save(BASE),
    "base-multifd": Save(MULTIFD),
    "base-multifd-direct": Save(MULTIFD, DIRECT),
    "fixed-ram": Save(OURS),
    "fixed-ram-no-sums": Save(OURS, UNVERIFIED),
    "fixed-ram-direct": Save(OURS, DIRECT),
    "fixed-ram-direct-no-sums": Save(OURS, {**DIRECT, **UNVERIFIED}),
}
DEFAULT_SAVE = "fixed-ram-default"
# of a guest that runs on
LIVE_SAVE = "fixed-ram-live"
EVERY_SAVE = {**SAVES, DEFAULT_SAVE: Save(OURS, None),
              LIVE_SAVE: Save(OURS + ("background-snapshot",))}
SAVE_CHOICE = Choice(DEFAULT_SAVE, ("fixed-ram", "fixed-ram-direct"))

BASE_BUFFERED_SAVES = ("base-plain", "base-multifd")
BASE_DIRECT_SAVES = ("base-multifd-direct",)
BASE_SAVES = BASE_BUFFERED_SAVES + BASE_DIRECT_SAVES
SPARSE_SAVES = ("base-plain", "fixed-ram")


def is_on_demand(name):
    return "postcopy-ram" in MODES[name].capabilities


class Activity(NamedTuple):
    """What the guest does while it is saved, and goes on with afterwards

    on_resume: it is idle while it is saved, and begins when it was loaded
    """
    command: str                # of the guest program
    argument: str               # "": all that was filled
    line: str                   # what each of its lines looks like
    lines: int = 0              # so many come before the guest is saved
    on_resume: bool = False


ROUND_LINE = r"^touch-\w+ (\d+) t=(\d+) stall=(\d+) us=(\d+)"
ACTIVITIES = {
    "light": Activity("tick", "20", r"^tick (\d+) t=(\d+)", 5),
    "work": Activity("work", "256", r"^work (\d+) t=(\d+) stall=(\d+)", 20),
    # a first output that hardly depends on when in its period it was saved
    "growth": Activity("tick", "2", r"^tick (\d+) t=(\d+)", 50),
    # nothing that goes on by itself
    "idle": Activity("tick", "0", r"^tick off$", 1),
    # with locality, as "work"; and without any
    "local": Activity("touch-local", "256", ROUND_LINE, 200),
    "random": Activity("touch-random", "", ROUND_LINE, on_resume=True),
}
