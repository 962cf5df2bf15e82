# SPDX-License-Identifier: GPL-2.0-or-later
"""scripts/clones: many guests from one snapshot."""
