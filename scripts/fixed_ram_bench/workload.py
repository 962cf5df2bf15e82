# SPDX-License-Identifier: GPL-2.0-or-later
"""Loads of a guest that touches memory in rounds, in turns."""

import time

from fixed_ram.steps import wait_loaded

from . import roundrates
from .load import (LONGEST_WATCH_S, Prefixed, fault_figures, finish, loading,
                   start_activity, start_figures)
from .modes import ACTIVITIES, MODES, SETS, STORMS
from .recording import NO_RECORD, with_set
from .turns import alternate

HUGE_S = 1              # after the load, when its huge pages are counted
SECTIONS = {"random": STORMS, "local": SETS}


def watch(guest, activity, watched, loaded, plan):
    """For a while, longer if it has not come up to its rate"""
    until = loaded + max(HUGE_S, plan.scale.watch_s)
    time.sleep(max(0, until - time.monotonic()))
    while True:
        figures = roundrates.figures(guest.serial.lines, watched, loaded,
                                     activity)
        if figures.get("full_ms") and figures.get("ninety_ms"):
            return figures
        if time.monotonic() > until + LONGEST_WATCH_S:
            return figures
        time.sleep(0.25)


def load_at_work(plan, snap, name, check):
    """One load; its figures"""
    activity = ACTIVITIES[snap.activity]
    progress = Prefixed(plan.progress, name)
    with loading(plan, snap, MODES[name]) as (guest, watched):
        start_activity(guest, activity, snap)
        loaded = wait_loaded(guest, name, snap.data_bytes, progress)
        result = {"loaded_ms": watched.ms(loaded),
                  **start_figures(guest, watched)}
        time.sleep(max(0, loaded + HUGE_S - time.monotonic()))
        result["huge_mib"] = round(watched.memory().huge / 1024, 1)
        result.update(watch(guest, activity, watched, loaded, plan))
        result.update(fault_figures(guest.qmp.execute("query-migrate")))
        if check:
            finish(guest, snap, activity, progress, plan, result)
        guest.quit()
    return result


def at_work(plan, snap):
    """All rounds over one snapshot, and over its copy with a working set"""
    plan.progress.start(snap.activity)
    with with_set(plan, snap) as (copy, written):
        names = [name for name in SECTIONS[snap.activity]
                 if copy or not MODES[name].has_set]
        result = alternate(plan, snap.path.stem, {
            name: lambda number, name=name: load_at_work(
                plan, copy if MODES[name].has_set else snap, name,
                number == 0)
            for name in names})
    plan.progress.done(describe(result))
    for name in SECTIONS[snap.activity]:
        result.setdefault(name, {"skipped": NO_RECORD})
    return {"data_mib": snap.data_bytes // 2**20, "set": written,
            "modes": result}


def describe(result):
    def full(name):
        figures = result[name]["summary"].get("full_ms")
        return f"{figures['median']:,.0f} ms" if figures else "not reached"

    return "full rate: " + ", ".join(f"{name} {full(name)}"
                                     for name in result)
