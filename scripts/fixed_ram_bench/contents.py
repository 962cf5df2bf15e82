# SPDX-License-Identifier: GPL-2.0-or-later
"""Deltas by content: a stopped guest against its base, beside full saves."""

import os

from .changes import change, changed_bytes
from .modes import CHANGES
from .save import check, save
from .stats import measured

FULL_AND_DELTA = ("full", "delta")


def compared_gib_s(full, delta):
    """How fast a CPU compares what the full save writes"""
    return round(full["pages_bytes"] / max(delta["cpu_s"], 0.01) / 2**30, 2)


def one_pair(plan, guest, files, number):
    """Both of the same moment; the full save is the next round's base"""
    result = {name: save(guest, files[name], "fixed-ram",
                         files["base"] if name == "delta" else "")
              for name in plan.in_turns(FULL_AND_DELTA, number)}
    result["delta"].update(
        changed_bytes=changed_bytes(plan, files["base"], files["full"]),
        compared_gib_s=compared_gib_s(**result),
        checked=check(plan, files["delta"], "fixed-ram"))
    os.replace(files["full"], files["base"])
    return result


def contents(plan, guest, folder):
    files = {name: folder / f"{name}.snapshot"
             for name in ("base", *FULL_AND_DELTA)}
    runs = {f"{kind}-{name}": [] for kind in CHANGES
            for name in FULL_AND_DELTA}
    save(guest, files["base"], "fixed-ram", "")
    for number in range(plan.rounds):
        for kind in plan.in_turns(list(CHANGES), number):
            plan.progress.update(f"{number + 1}/{plan.rounds} {kind}")
            change(guest, plan.scale.delta_change, CHANGES[kind], number)
            for name, got in one_pair(plan, guest, files, number).items():
                runs[f"{kind}-{name}"].append({"round": number, **got})
    for path in files.values():
        path.unlink(missing_ok=True)
    return {"memory_mib": plan.memory,
            "modes": {name: measured(each) for name, each in runs.items()}}
