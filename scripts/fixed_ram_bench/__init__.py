# SPDX-License-Identifier: GPL-2.0-or-later
"""The benchmarks: what is measured, in which order, what it must come to."""
