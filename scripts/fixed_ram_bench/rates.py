# SPDX-License-Identifier: GPL-2.0-or-later
"""What a guest's lines say: how fast it works, since when, how it stalls."""

import re
from statistics import median

SUSTAINED = 3           # intervals in a row
REST_MS = 500           # after the load, what does not count as full rate yet


def parse(lines, watched, activity):
    """(host's ms, number, guest's us, stall in us) of each line"""
    found = []
    for when, text in lines:
        match = re.match(activity.line, text)
        if match:
            got = [int(value) for value in match.groups()]
            found.append((watched.ms(when), got[0], got[1],
                          got[2] if len(got) > 2 else 0))
    return found


def intervals(found):
    """[ms, units per second, stall in us] of each line but the first

    The work of the first line began before the guest was saved.
    """
    return [[now[0], round(now[1] * 1e6 / (now[2] - before[2])), now[3]]
            for before, now in zip(found, found[1:]) if now[2] > before[2]]


def full_rate(series, loaded_ms):
    late = [units for ms, units, _ in series if ms > loaded_ms + REST_MS]
    return median(late) if late else None


def reached(series, rate):
    """When the work became that fast and stayed so for some intervals"""
    for i in range(len(series) - SUSTAINED + 1):
        if all(units >= rate for _, units, _ in series[i:i + SUSTAINED]):
            return series[i][0]
    return None


def work_figures(found, loaded_ms):
    series = intervals(found)
    full = full_rate(series, loaded_ms)
    if full is None:
        return {"series": series}
    return {
        "full_rate": full,
        "half_ms": reached(series, 0.5 * full),
        "ninety_ms": reached(series, 0.9 * full),
        "stall_ms": max(line[3] for line in found) / 1000,
        "series": series,
    }


def figures(lines, watched, loaded, activity):
    found = parse(lines, watched, activity)
    gaps = [b[0] - a[0] for a, b in zip(found, found[1:])]
    result = {"gap_ms": round(max(gaps), 1) if gaps else None}
    if activity.command == "work":
        result.update(work_figures(found, watched.ms(loaded)))
    return result
