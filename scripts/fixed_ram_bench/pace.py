# SPDX-License-Identifier: GPL-2.0-or-later
"""How a guest gets on while it is saved, by the times at which its lines come.

A guest's own clock stands still while the guest does, so the host's counts.
"""

from bisect import bisect_right
from contextlib import contextmanager
import re
import sys

from fixed_ram.child import started

TICK = re.compile(r"^tick \d+ t=\d+")
WRITES = re.compile(r"^touch-write (?P<units>\d+) ")
AFTER_ALL = chr(sys.maxunicode)     # of all lines that come at one time
NEAR_S = 60                         # no gap is longer


def between(lines, start, end):
    """Those that came after start, up to end; they are in order"""
    first, last = (bisect_right(lines, (when, AFTER_ALL))
                   for when in (start, end))
    return lines[first:last]


def rate(lines, pattern, start, end):
    """Units of work a second; a line without a number of them is one"""
    found = (pattern.match(text) for _, text in between(lines, start, end))
    units = sum(int(each.groupdict().get("units", 1))
                for each in found if each)
    return units / (end - start)


def series(lines, pattern, start, end, full):
    """For each line how far the guest came since the line before it

    [ms since start, share of the full rate, which is units a second].  The first
    entry only says when the time of the second one begins.
    """
    result, before = [], None
    for when, text in between(lines, start, end):
        match = pattern.match(text)
        if not match:
            continue
        units = int(match.groupdict().get("units", 1))
        if before is None:
            share = 0
        elif when == before or not full:
            continue            # nothing can be said
        else:
            share = units / (when - before) / full
        result.append([round((when - start) * 1000, 1), round(share, 4)])
        before = when
    return result


def longest_gap_ms(lines, start, end):
    """Between two ticks, of a gap of which a part is in this time"""
    ticks = [when for when, text in between(lines, start - NEAR_S,
                                            end + NEAR_S)
             if TICK.match(text)]
    gaps = [after - before for before, after in zip(ticks, ticks[1:])
            if after > start and before < end]
    return round(max(gaps) * 1000, 2) if gaps else None


@contextmanager
def busy_cpu():
    """A program of the host that takes all the time that it gets"""
    with started([sys.executable, "-c", "while True: pass"]):
        yield
