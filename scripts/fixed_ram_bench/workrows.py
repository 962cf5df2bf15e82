# SPDX-License-Identifier: GPL-2.0-or-later
"""What guests that start to work at once must come to, and settings."""

import math

from . import loadrows
from .modes import BASE_MODES, LOAD_CHOICES, SAVE_CHOICE
from .rows import (Missing, Rows, Skipped, best, difference, median, ratio,
                   runs, section, times_until)

EAGER = "fixed-ram-direct"
PLAIN = "on-demand"
SET = "on-demand-set"

# Rows 1, 2, 7 and 8 before there were storms and working sets: medians of the
# page of benchmarks, with the guest and the machine that it names.
BEFORE_MACHINE = {"memory_mib": 8192, "cpus": 2}
BEFORE = {
    "contiguous": {"running": 8.7, "output": 66, "touches": 0.92,
                   "storm": 0.73, "tail": 0.58},
    "fragmented": {"running": 20.8, "output": 84, "touches": 0.95,
                   "storm": 0.59, "tail": 0.51},
}
NOT_WORSE = 1.1         # times, so much two runs differ

ROWS = Rows()
row = ROWS.row


def storm(report, filling):
    return section(report, "storms", filling, "modes")


def local(report, filling):
    return section(report, "sets", filling, "modes")


def until(modes, name, key, their_name, their_key):
    """A ratio of times; infinite if it was not reached in half of the runs"""
    return ratio(times_until(runs(modes, name), key), runs(modes, their_name),
                 key, their_key)


def times_text(value):
    return f"{value:.2f}" if math.isfinite(value) else "never"


def finite(value):
    return value if math.isfinite(value) else None


@row("random guest on demand: full rate, against our eager load",
     "at most 1.15 times")
def random_full(report, filling):
    modes = storm(report, filling)
    longer = until(modes, PLAIN, "full_ms", EAGER, "full_ms")
    return (f"{times_text(longer)} ({median(modes, EAGER, 'full_ms'):,.0f} ms "
            "eager)", longer <= 1.15, {"ratio": finite(longer)})


@row("the same, first round, against eager's first output",
     "at most 0.45 times")
def random_first(report, filling):
    modes = storm(report, filling)
    share = until(modes, PLAIN, "first_round_ms", EAGER, "first_output_ms")
    return times_text(share), share <= 0.45, {"ratio": finite(share)}


@row("the same with a recorded set: full rate; first round",
     "at most 0.15; 0.12 times")
def random_set(report, filling):
    modes = storm(report, filling)
    full = until(modes, SET, "full_ms", EAGER, "full_ms")
    first = until(modes, SET, "first_round_ms", EAGER, "first_output_ms")
    return (f"{times_text(full)}; {times_text(first)}",
            full <= 0.15 and first <= 0.12,
            {"full": finite(full), "first": finite(first)})


@row("local guest with a set: 90 % of its rate, against base",
     "at most 0.1 times")
def local_set(report, filling):
    modes = local(report, filling)
    base = best(modes, BASE_MODES, "first_output_ms")
    share = until(modes, SET, "ninety_ms", base, "first_output_ms")
    return (times_text(share), share <= 0.1,
            {"ratio": finite(share), "base": base})


@row("row 10, which has no set", "at most 0.3 times")
def without_set(report, filling):
    return loadrows.work(report, filling)


@row("random guest: huge pages after a second, against eager",
     "at least 0.9 times")
def random_huge(report, filling):
    modes = storm(report, filling)
    share = ratio(runs(modes, PLAIN), runs(modes, EAGER), "huge_mib")
    return f"{share:.2f}", share >= 0.9, {"ratio": share}


def of_the_best(modes, choice, key):
    """The default's time against the best of the explicit settings"""
    explicit = best(modes, choice.explicit, key)
    return ratio(runs(modes, choice.default), runs(modes, explicit), key)


@row("settings left alone against the best that can be set",
     "at most 1.1 times")
def settings(report, filling):
    data = section(report, "settings", filling)
    shares = {what: of_the_best(section(data, "loads"), choice, "loaded_ms")
              for what, choice in LOAD_CHOICES.items()}
    shares["save"] = of_the_best(section(data, "saves"), SAVE_CHOICE,
                                 "stable_ms")
    return (", ".join(f"{what} {share:.2f}"
                      for what, share in shares.items()),
            max(shares.values()) <= 1.1, {"ratios": shares})


@row("empty guest of 1,000 GiB against 4: running; save; file",
     "at most 25 ms, 2.5 times; 300 ms; 40 MiB")
def tera(report, filling):
    if filling != "contiguous":
        raise Missing(filling)
    data = section(report, "tera")
    sizes = data["sizes"]
    small, large = (str(data[key]) for key in ("small_mib", "large_mib"))
    ms, saved_ms, disk_mib = (median(sizes, large, key) for key in
                              ("running_ms", "saved_ms", "disk_mib"))
    longer = ratio(runs(sizes, large), runs(sizes, small), "running_ms")
    return (f"{ms:.1f} ms, {longer:.2f} times; {saved_ms:,.0f} ms; "
            f"{disk_mib:.0f} MiB",
            ms <= 25 and longer <= 2.5 and saved_ms <= 300 and disk_mib <= 40,
            {"ms": ms, "ratio": longer, "saved_ms": saved_ms,
             "disk_mib": disk_mib})


def is_the_machine_before(report):
    return (section(report, "guest", "memory_mib")
            == BEFORE_MACHINE["memory_mib"]
            and section(report, "machine", "cpus") == BEFORE_MACHINE["cpus"])


def now(report, filling):
    """What BEFORE has"""
    storms = loadrows.touches(report, filling)[2]
    return {"running": loadrows.running(report, filling)[2]["ms"],
            "output": loadrows.first_output(report, filling)[2]["ms"],
            "touches": storms["slower"], "storm": storms["share_of_disk"],
            "tail": loadrows.tail(report, filling)[2]["ratio"]}


@row("rows 1, 2, 7, 8 against what they were (in brackets)", f"at most {NOT_WORSE} times as much")
def not_worse(report, filling):
    if not is_the_machine_before(report):
        raise Skipped("they were measured with a guest of "
                      f"{BEFORE_MACHINE['memory_mib']:,} MiB on "
                      f"{BEFORE_MACHINE['cpus']} CPUs")
    before, values = BEFORE[filling], now(report, filling)
    # of a disk's rate more is better
    worse = {key: value / before[key] if key != "storm"
             else before[key] / value for key, value in values.items()}
    text = "; ".join(f"{value:.3g} ({before[key]:g})"
                     for key, value in values.items())
    return text, max(worse.values()) <= NOT_WORSE, {"worse": worse}


@row("time to running with a set against without",
     "at most 3 ms more")
def set_running(report, filling):
    more = [difference(runs(modes, SET), runs(modes, PLAIN), "running_ms")
            for modes in (local(report, filling), storm(report, filling))]
    return (f"local {more[0]:+.1f} ms, random {more[1]:+.1f} ms",
            max(more) <= 3, {"local_ms": more[0], "random_ms": more[1]})
