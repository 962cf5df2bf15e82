# SPDX-License-Identifier: GPL-2.0-or-later
"""In which order things are measured in a round."""


def in_turns(things, number, rounds):
    """Another first one each round, and every other round backwards"""
    first = number * len(things) // max(rounds, 1) % len(things)
    order = list(things[first:]) + list(things[:first])
    return order if number % 2 == 0 else order[::-1]
