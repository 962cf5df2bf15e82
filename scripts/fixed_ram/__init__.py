# SPDX-License-Identifier: GPL-2.0-or-later
"""What run.py and the benchmarks share: a QMP client and a guest to run."""
