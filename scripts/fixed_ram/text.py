# SPDX-License-Identifier: GPL-2.0-or-later
"""Figures as people read them."""


def mib(size):
    return f"{size / 2**20:,.0f} MiB"


def fraction(part, whole):
    return f"{min(100, 100 * part // max(1, whole))} %"


def rate(size, seconds):
    return f"{size / 2**20 / max(seconds, 1e-3):,.0f} MiB/s"


def duration(seconds):
    """50 s, 4 min, 1 h 10 min: as exact as an estimate can be"""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def time_left(seconds):
    if seconds < 1:
        return "nearly done"
    return f"about {duration(seconds)} left"
