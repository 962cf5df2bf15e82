# SPDX-License-Identifier: GPL-2.0-or-later
"""Ending QEMU in the middle of something, and how long that takes."""

import signal
import time

from .vm import GuestLost

PROMISED_S = 2
LIMIT_S = 10            # the machine may be busy
# QEMU says so if a thread waits for a page that cannot be read
UNFLUSHED = "QEMU ends without flushing block devices"
SIGNALS = {"sigterm": signal.SIGTERM, "sigint": signal.SIGINT}


class Ended(Exception):
    """The process has been told to end, and has ended"""


def end(vm, how, blocked=False):
    """End the process; blocked: it may be that the main loop hears nothing

    Returns how it ended: a signal follows a "quit" without an effect.
    """
    start = time.monotonic()
    if how == "quit":
        vm.guest.qmp.send("quit")
    else:
        vm.guest.signal(SIGNALS[how])
    limit = LIMIT_S * vm.world.slowness
    status = vm.wait_end(3 if how == "quit" and blocked else limit)
    if status is None and how == "quit" and blocked:
        vm.world.count("ends", "quit not heard")
        return end(vm, "sigterm")
    took = time.monotonic() - start
    if status == 1 and UNFLUSHED in vm.guest.messages():
        vm.world.count("ends", "without flushing")
    elif status != 0:
        raise GuestLost(f"{how}: after {took:.1f} s: {vm.last_words()}")
    vm.world.note_end(how, took, PROMISED_S)
    return how
