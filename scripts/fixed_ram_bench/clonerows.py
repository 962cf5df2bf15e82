# SPDX-License-Identifier: GPL-2.0-or-later
"""What loads whose RAM is a mapping of the snapshot must come to."""

import math

from .modes import EAGER_AT_WORK, SMALL_PAGES
from .rows import (Missing, Rows, median, ratio, runs, section, times,
                   times_until)

ROWS = Rows()
row = ROWS.row


def clones(report, filling, *path):
    """They are measured with one filling"""
    if filling != "contiguous":
        raise Missing(filling)
    return section(report, "clones", *path)


def herd(report, filling):
    return clones(report, filling, "herd", "modes")


@row("mapped load to RESUME, cold; largest guest against smallest",
     "at most 15 ms; 1.3 times")
def running(report, filling):
    sizes = clones(report, filling, "sizes")
    small, middle, large = pick(sizes)
    ms = median(sizes, middle, "running_ms")
    longer = ratio(runs(sizes, large), runs(sizes, small), "running_ms")
    return (f"{ms:.1f} ms with {gib(middle)} GiB; {longer:.2f} times "
            f"({gib(large)} against {gib(small)} GiB)",
            ms <= 15 and longer <= 1.3, {"ms": ms, "ratio": longer})


def pick(sizes):
    known = sorted(sizes, key=int)
    return known[0], known[len(known) // 2], known[-1]


def gib(size):
    return f"{int(size) / 1024:g}"


@row("clones started together: first output; bytes read",
     "at most 0.25 of on demand; 1.2 of what they touched")
def together(report, filling):
    modes = herd(report, filling)
    share = ratio(runs(modes, "mapped"), runs(modes, "on-demand"),
                  "output_ms")
    # where no working set is read ahead, pages are there that were touched
    read = ratio(runs(modes, "mapped"), runs(modes, "mapped-no-set"),
                 "read_mib", "touched_mib")
    return (f"{share:.2f} ({median(modes, 'mapped', 'output_ms'):,.0f} ms, "
            f"{median(modes, 'mapped', 'clones'):.0f} clones); {read:.2f}",
            share <= 0.25 and read <= 1.2, {"ratio": share, "read": read})


@row("memory of a further idle clone, by what it wrote; all of it",
     "at most 1.2 times; 0.1 of on demand")
def memory(report, filling):
    modes = herd(report, filling)
    mapped = runs(modes, "mapped")
    times = ratio(mapped, mapped, "further_mib", "written_mib")
    share = ratio([{**run, "all_mib": run["further_mib"] + run["own_mib"]}
                   for run in mapped], runs(modes, "on-demand"), "all_mib",
                  "pss_mib")
    further, own = (median(modes, "mapped", key)
                    for key in ("further_mib", "own_mib"))
    return (f"{times:.2f} ({further:.1f} MiB, and {own:.0f} of QEMU's own); "
            f"{share:.2f}", times <= 1.2 and share <= 0.1,
            {"times": times, "ratio": share})


@row("random guest, mapped, warm: its rate against an eager load's",
     "at least 0.9 times")
def rate(report, filling):
    modes = clones(report, filling, "work", "modes")
    share = ratio(runs(modes, "mapped-warm"), runs(modes, EAGER_AT_WORK),
                  "full_rate")
    huge = ratio(runs(modes, EAGER_AT_WORK), runs(modes, SMALL_PAGES),
                 "full_rate")
    return (f"{share:.2f}; huge pages bring an eager load {huge:.2f} times",
            share >= 0.9, {"ratio": share, "huge": huge})


@row("the same with a set, cold: full rate, against eager",
     "at most 0.2 times")
def full_rate(report, filling):
    modes = clones(report, filling, "work", "modes")
    share = ratio(times_until(runs(modes, "mapped-set"), "full_ms"),
                  runs(modes, EAGER_AT_WORK), "full_ms")
    text = f"{share:.2f}" if math.isfinite(share) else "never"
    return (f"{text} ({median(modes, EAGER_AT_WORK, 'full_ms'):,.0f} ms "
            "eager)", share <= 0.2,
            {"ratio": share if math.isfinite(share) else None})


@row("rollback of a 256 MiB guest that wrote 4; against base's loadvm",
     "at most 10 ms; 20 times sooner")
def rollback(report, filling):
    modes = clones(report, filling, "rollback", "modes")
    ms = median(modes, "rollback", "back_ms")
    sooner = ratio(runs(modes, "loadvm"), runs(modes, "rollback"), "back_ms")
    return (f"{ms:.1f} ms, {times(sooner)} sooner", ms <= 10 and sooner >= 20,
            {"ms": ms, "ratio": sooner})
