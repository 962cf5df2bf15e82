# SPDX-License-Identifier: GPL-2.0-or-later
"""What deltas and live saves must come to."""

from statistics import mean

from .modes import CHANGES, LIVE, PAGE_SIZES, STOPPED
from .rows import (Missing, Rows, difference, median, ratio, runs,
                   section)

FIRST = 40
# of a live save, by the host's pages
LONGEST_STOP_MS = dict(zip(PAGE_SIZES, (30, 60)))
LEAST_RATE = {"writer": 0.6, "light": 0.9}
MIB = 2**20

ROWS = Rows()
row = ROWS.row


def deltas(report, filling, *path):
    """They are measured with one filling"""
    if filling != "contiguous":
        raise Missing(filling)
    return section(report, "deltas", *path)


def by(things, figure):
    return {name: figure(name) for name in things}


def text_of(figures, digits=2):
    return ", ".join(f"{name} {value:.{digits}f}"
                     for name, value in figures.items())


@row("delta of 64 MiB changed at random / in runs, against full; its file",
     "at most 0.35 times; 1.15 of what changed + RAM/4096")
def by_content(report, filling):
    data = deltas(report, filling, "content")
    modes = data["modes"]
    share = by(CHANGES, lambda kind: ratio(
        runs(modes, f"{kind}-delta"), runs(modes, f"{kind}-full"),
        "saved_ms"))
    more = by(CHANGES, lambda kind: file_share(
        runs(modes, f"{kind}-delta"), data["memory_mib"]))
    rate = median(modes, "random-delta", "compared_gib_s")
    return (f"{text_of(share)} ({rate:.1f} GiB/s a core); file "
            f"{text_of(more)}",
            max(share.values()) <= 0.35 and max(more.values()) <= 1.15,
            {"ratio": share, "file": more})


def file_share(deltas, memory_mib):
    """The file beyond 1/4096 of RAM, by the clusters that have changed"""
    return max((run["disk_bytes"] - memory_mib * MIB / 4096)
               / run["changed_bytes"] for run in deltas)


@row("delta of a mapped guest that wrote 16 MiB; large guest against small",
     "at most 60 ms; 1.5 times")
def of_a_clone(report, filling):
    sizes = deltas(report, filling, "clone", "sizes")
    small, large = min(sizes, key=int), max(sizes, key=int)
    ms = median(sizes, large, "saved_ms")
    longer = ratio(runs(sizes, large), runs(sizes, small), "saved_ms")
    return (f"{ms:.0f} ms with {int(large) / 1024:g} GiB; {longer:.2f} times "
            f"({int(small) / 1024:g} GiB)", ms <= 60 and longer <= 1.5,
            {"ms": ms, "ratio": longer})


@row("load of 8 deltas against a full snapshot: running; all loaded",
     "at most 5 ms more; 1.15 times")
def of_a_chain(report, filling):
    modes = deltas(report, filling, "chain", "modes")
    chain, full = (runs(modes, name) for name in ("chain", "full"))
    later = difference(chain, full, "running_ms")
    longer = ratio(chain, full, "loaded_ms")
    return (f"{later:+.1f} ms; {longer:.2f} times",
            later <= 5 and longer <= 1.15, {"ms": later, "ratio": longer})


@row("merge of 8 deltas: with reflink; without, against a plain copy",
     "at most 0.5 s; 1.1 times")
def merged(report, filling):
    data = deltas(report, filling, "merge")
    s = median(data["modes"], "merge", "took_ms") / 1000
    longer = ratio(runs(data["modes"], "merge"), runs(data["modes"], "copy"),
                   "took_ms")
    if data["reflink"]:
        return (f"{s:.2f} s with reflink", s <= 0.5, {"s": s})
    return (f"{longer:.2f} times ({s:.2f} s); no reflink on this file system",
            longer <= 1.1, {"s": s, "ratio": longer})


@row("live save: longest stop, 2 MiB / 4 KiB pages; against a stopped save",
     "at most 30 / 60 ms; 100 times shorter")
def stop(report, filling):
    ms = by(PAGE_SIZES, lambda size: max(
        median(live(report, filling, size), name, "stop_ms")
        for name in LIVE))
    shorter = min(ratio(runs(modes, STOPPED), runs(modes, name), "saved_ms",
                        "stop_ms")
                  for modes in (live(report, filling, s) for s in PAGE_SIZES)
                  for name in LIVE)
    return (f"{text_of(ms, 1)} ms; {shorter:,.0f} times",
            all(ms[size] <= most for size, most in LONGEST_STOP_MS.items())
            and shorter >= 100, {"ms": ms, "ratio": shorter})


def live(report, filling, size):
    return deltas(report, filling, "live", size, "modes")


@row("guest's rate in a live save: writer / light; with a busy CPU alone",
     "at least 0.6 / 0.9")
def rate(report, filling):
    share, busy = (
        by(LEAST_RATE, lambda name: min(
            median(live(report, filling, size), name, key)
            for size in PAGE_SIZES))
        for key in ("rate_share", "busy_share"))
    return (f"{text_of(share)}; CPU alone {text_of(busy)}",
            all(share[name] >= least for name, least in LEAST_RATE.items()),
            {"ratio": share, "busy": busy})


@row("live save against a stopped save: time; bytes written",
     "at most 1.6 times; 1.02 times")
def costs(report, filling):
    longer, more = (
        max(ratio(runs(modes, name), runs(modes, STOPPED), key)
            for modes in (live(report, filling, s) for s in PAGE_SIZES)
            for name in LIVE) for key in ("saved_ms", "written_bytes"))
    return (f"{longer:.2f} times; {more:.3f} times",
            longer <= 1.6 and more <= 1.02,
            {"ratio": longer, "written": more})


@row("live deltas in a row: longest stop; light guest's rate; all load",
     "at most 30 ms; at least 0.9; all")
def checkpoints(report, filling):
    every = runs(deltas(report, filling, "checkpoints", "modes"),
                 "live-delta")
    ms = max(run["stop_ms"] for run in every)
    share = mean(run["rate_share"] for run in every)
    good = sum(run["good"] for run in every)
    return (f"{ms:.1f} ms; {share:.2f}; {good} of {len(every)}",
            ms <= 30 and share >= 0.9 and good == len(every),
            {"ms": ms, "ratio": share, "good": good})
