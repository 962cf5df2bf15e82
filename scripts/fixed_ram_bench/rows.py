# SPDX-License-Identifier: GPL-2.0-or-later
"""What the figures must come to: how a row is declared and gets its figures.

A row's function gets the report and a filling and returns (text, holds,
figures). It raises Missing where that was not measured, and Skipped where it
cannot be. "Base" is that of base's modes which has the best median of that
figure. What was measured in turns is compared in pairs: a ratio a round, and
the median of the ratios.
"""

from dataclasses import dataclass
import math

from .stats import median_difference, median_ratio


class Missing(Exception):
    """That was not measured"""


class Skipped(Missing):
    """That cannot be measured here; says why"""


@dataclass(frozen=True)
class Row:
    what: str
    target: str
    figures: object         # the function


class Rows(list):
    """In the order of their definition"""

    def row(self, what, target):
        """Makes a function one of the rows"""
        def add(function):
            self.append(Row(what, target, function))
            return function
        return add


# ---- for their functions ----

def section(report, *path):
    for key in path:
        report = (report or {}).get(key)
        if isinstance(report, dict) and "skipped" in report:
            raise Skipped(report["skipped"])
    if not report:
        raise Missing(" ".join(path))
    return report


def runs(modes, name):
    return section(modes, name, "runs")


def median(modes, name, key):
    found = section(modes, name, "summary").get(key)
    if not found:
        raise Missing(f"{name} {key}")
    return found["median"]


def best(modes, names, key, pick=min):
    """That one of the modes with the best median"""
    known = [name for name in names if name in modes
             and key in modes[name].get("summary", {})]
    if not known:
        raise Missing(key)
    return pick(known, key=lambda name: median(modes, name, key))


def known(value, what):
    if value is None:
        raise Missing(str(what))
    return value


def times_until(runs, key):
    """What was never reached took for ever"""
    return [{**run, key: math.inf} if run.get(key) is None else run
            for run in runs]


def ratio(*args):
    return known(median_ratio(*args), args[2])


def difference(*args):
    return known(median_difference(*args), args[2])


def times(value):
    return f"{value:,.0f} times" if value >= 10 else f"{value:.2f} times"
