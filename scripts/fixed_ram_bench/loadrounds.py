# SPDX-License-Identifier: GPL-2.0-or-later
"""Loads of a guest, idle or at work, in every mode, in turns."""

from .disk import read_rate
from .load import Prefixed, load
from .modes import BASE_MODES, GROWTH, LIGHT, PEER_MODES, WORK
from .snapshot import snapshot
from .stats import measured

FIO = "fio"
SHORT = {"contiguous": "contig.", "fragmented": "fragm."}


def brief(results):
    """A round in a line: on demand, and the better of base"""
    base = min((results[name]["loaded_ms"] for name in BASE_MODES
                if name in results), default=0)
    ours = results["on-demand"]
    return (f"on demand: running {ours['running_ms']:,.0f} ms, output "
            f"{ours['first_output_ms']:,.0f} ms, loaded "
            f"{ours['loaded_ms']:,.0f} ms; base {base:,.0f} ms")


def one_round(plan, snap, modes, number, runs):
    """Every mode once, and fio beside the load on demand"""
    things = list(modes)
    if plan.fio and snap.activity == "light":
        things.insert(things.index("on-demand"), FIO)
    title = plan.progress.title
    results = {}
    for position, name in enumerate(plan.in_turns(things, number)):
        progress = Prefixed(plan.progress, f"{number + 1}/{plan.rounds}")
        progress.update(f"{name} ({position + 1} of {len(things)})")
        if name == FIO:
            result = read_rate(plan, snap)
        else:
            result = load(plan, snap, name, check=number == 0)
        results[name] = {"round": number, **result}
        runs.setdefault(name, []).append(results[name])
    plan.progress.done(f"{number + 1}/{plan.rounds} {brief(results)}")
    plan.progress.start(title)


def loads(plan, filling, activity, snap):
    """All rounds over one snapshot"""
    modes = LIGHT if activity == "light" else WORK
    if plan.peer and activity == "light":
        modes += PEER_MODES
    runs = {}
    plan.progress.start(f"{activity} {SHORT[filling]}")
    for number in range(plan.rounds):
        one_round(plan, snap, modes, number, runs)
    plan.progress.abandon()
    result = {"data_mib": snap.data_bytes // 2**20,
              "modes": {name: measured(runs[name]) for name in modes}}
    if FIO in runs:
        result[FIO] = measured(runs[FIO])
    return result


def growth(plan):
    """Guests that differ in the size of their RAM only"""
    runs = {size: {name: [] for name in GROWTH} for size in plan.growth}
    with_snapshots(plan, list(plan.growth), {}, runs)
    sizes = {str(size): {"modes": {name: measured(each[name])
                                   for name in GROWTH}}
             for size, each in runs.items()}
    return {"fill_mib": plan.scale.growth_fill, "sizes": sizes}


def with_snapshots(plan, missing, snaps, runs):
    """All the snapshots exist while any is loaded, for the sizes take turns"""
    if not missing:
        growth_rounds(plan, snaps, runs)
        return
    with snapshot(plan, "contiguous", "growth", missing[0],
                  plan.scale.growth_fill) as snap:
        with_snapshots(plan, missing[1:], {**snaps, missing[0]: snap}, runs)


def growth_rounds(plan, snaps, runs):
    pairs = [(size, name) for size in snaps for name in GROWTH]
    for number in range(plan.rounds):
        plan.progress.start("growth")
        for size, name in plan.in_turns(pairs, number):
            plan.progress.update(f"{number + 1}/{plan.rounds} {size} MiB")
            result = load(plan, snaps[size], name, settle=False)
            runs[size][name].append({"round": number, **result})
        last = {size: runs[size]["on-demand"][-1]["first_output_ms"]
                for size in snaps}
        plan.progress.done(
            f"{number + 1}/{plan.rounds} first output on demand: "
            + ", ".join(f"{size // 1024 or size / 1024} GiB {ms:,.0f} ms"
                        for size, ms in last.items()))
