# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests of qemu-snapshot: the modules of scripts/tool-tests."""
