# SPDX-License-Identifier: GPL-2.0-or-later
"""Things that are measured in turns, so that they can be compared."""

from .stats import measured


def alternate(plan, title, things):
    """things: name -> what measures it, given the round's number"""
    runs = {name: [] for name in things}
    for number in range(plan.rounds):
        for name in plan.in_turns(list(things), number):
            plan.progress.update(f"{number + 1}/{plan.rounds} {title}: {name}")
            runs[name].append({"round": number, **things[name](number)})
    return {name: measured(each) for name, each in runs.items()}
