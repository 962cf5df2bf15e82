# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules of scripts/lint that need more than a few lines."""
