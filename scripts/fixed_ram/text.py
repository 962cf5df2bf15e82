# SPDX-License-Identifier: GPL-2.0-or-later
"""Figures as people read them."""


def mib(size):
    return f"{size / 2**20:,.0f} MiB"


def fraction(part, whole):
    return f"{min(100, 100 * part // max(1, whole))} %"


def rate(size, seconds):
    return f"{size / 2**20 / max(seconds, 1e-3):,.0f} MiB/s"
