# SPDX-License-Identifier: GPL-2.0-or-later
"""A real libvirt of its own, which runs the build folder's QEMU."""
