# SPDX-License-Identifier: GPL-2.0-or-later
"""The soak: random guests, saves and loads, and what can happen meanwhile."""
