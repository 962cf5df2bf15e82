# SPDX-License-Identifier: GPL-2.0-or-later
"""Medians, spread, and ratios of what was measured in pairs."""

from statistics import median


def spread(values):
    return {"median": median(values), "min": min(values), "max": max(values),
            "count": len(values)}


def is_figure(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def summarise(runs):
    """Of each figure that every one of these runs has"""
    result = {}
    for key in runs[0] if runs else ():
        values = [run.get(key) for run in runs]
        if all(map(is_figure, values)) and key != "round":
            result[key] = spread(values)
    return result


def measured(runs):
    return {"runs": runs, "summary": summarise(runs)}


def pairs(ours, theirs, key, their_key=None):
    """One pair a round, of runs that stand beside each other"""
    by_round = {run["round"]: run for run in theirs}
    for run in ours:
        other = by_round.get(run["round"])
        mine = run.get(key)
        yours = other and other.get(their_key or key)
        if is_figure(mine) and is_figure(yours):
            yield mine, yours


def median_ratio(*args):
    ratios = [mine / yours for mine, yours in pairs(*args) if yours]
    return median(ratios) if ratios else None


def median_difference(*args):
    differences = [mine - yours for mine, yours in pairs(*args)]
    return median(differences) if differences else None
