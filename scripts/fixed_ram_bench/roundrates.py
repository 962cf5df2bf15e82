# SPDX-License-Identifier: GPL-2.0-or-later
"""What the lines of a guest say that reports after each round of touches."""

import re
from statistics import median
from typing import NamedTuple

from . import rates

FULL_RATE = 1.25        # of the steady time, of ...
FULL_ROUNDS = 3         # ... so many rounds in a row
STEP_US = 20000         # a rate's interval; a round alone says too little


class Round(NamedTuple):
    ms: float           # the host's, at its end
    units: int
    t: int              # the guest's us, at its end
    stall: int
    us: int             # how long it took, by the guest's clock


def parse(lines, watched, activity):
    """The rounds; not the one in which the guest was saved"""
    found = []
    for when, text in lines:
        match = re.match(activity.line, text)
        if match:
            found.append(Round(watched.ms(when), *map(int, match.groups())))
    return found if activity.on_resume else found[1:]


def steady_us(found, loaded_ms):
    late = [each.us for each in found
            if each.ms > loaded_ms + rates.REST_MS]
    return median(late) if late else None


def full_ms(found, steady):
    """When the first rounds in a row were over that were quick enough"""
    quick = [each.us <= FULL_RATE * steady for each in found]
    for last in range(FULL_ROUNDS - 1, len(found)):
        if all(quick[last - FULL_ROUNDS + 1:last + 1]):
            return found[last].ms
    return None


def coarse(found):
    """[ms, units per second, stall in us] of intervals, as rates has them"""
    series, units, stall = [], 0, 0
    begun = found[0].t - found[0].us
    for each in found:
        units, stall = units + each.units, max(stall, each.stall)
        if each.t - begun >= STEP_US:
            series.append([each.ms, round(units * 1e6 / (each.t - begun)),
                           stall])
            begun, units, stall = each.t, 0, 0
    return series


def figures(lines, watched, loaded, activity):
    """Of a guest that was watched for a while after its load"""
    found = parse(lines, watched, activity)
    steady = steady_us(found, watched.ms(loaded))
    if steady is None:
        return {}
    series = coarse(found)
    rate = rates.full_rate(series, watched.ms(loaded))
    return {"first_round_ms": found[0].ms,
            "steady_us": steady,
            "full_ms": full_ms(found, steady),
            "full_rate": rate,
            "ninety_ms": rates.reached(series, 0.9 * rate) if rate else None,
            "stall_ms": max(each.stall for each in found) / 1000,
            "series": series}
