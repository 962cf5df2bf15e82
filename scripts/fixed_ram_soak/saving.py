# SPDX-License-Identifier: GPL-2.0-or-later
"""Filling a guest, saving it, and killing it while it is saved."""

import random
import re
import signal
import time

from fixed_ram.qmp import Failure

from .vm import GuestLost

KILLED_SAVE_S = 2.5     # what a save takes in which a saver is killed
CANCELS = 3             # saves that are cancelled before one that is not
CANCEL_S = 0.03         # a cancel comes at most so much later than its save
LAYOUT = ("fixed-ram", "mapped-ram", "multifd", "postcopy-ram")


def boot(vm):
    # after a reset the guest's last line may have stayed half
    vm.serial.wait_line("ready$", vm.world.hang_s)


def fill(vm, lineage, save):
    """New content; what the guest has less room for than asked, it tells"""
    size = lineage.filled
    for _ in range(8):
        try:
            vm.guest.command(f"fill {size} {save.filling} {save.seed}",
                             "^fill ok", vm.world.hang_s)
            lineage.filled = size
            return
        except Failure as e:
            found = re.search(r"asked for, (\d+) MiB are free", str(e))
            if not found:
                raise
            size = min(size, int(found[1])) - 32
            if size < 8:
                break
    raise GuestLost(f"the guest cannot fill {lineage.filled} MiB")


def start_activity(vm, lineage, save):
    lineage.activity = save.activity if save.live else ""
    if lineage.activity == "tick":
        vm.serial.send("tick 20")
    elif lineage.activity == "work":
        vm.serial.send(f"work {lineage.filled} 50")


def start_save(vm, lineage, save, path):
    vm.switch(off=LAYOUT)
    on = ["events", save.capability]
    on += ["multifd"] if save.channels else []
    on += ["postcopy-ram"] if save.postcopy else []
    vm.switch(on=on)
    limit = 0
    if save.kill is not None:
        limit = max(1, int(lineage.filled / KILLED_SAVE_S)) << 20
    vm.order("migrate-set-parameters", {
        "max-bandwidth": limit, "direct-io": save.direct,
        "multifd-channels": save.channels or 2})
    if not save.live:
        vm.order("stop")
    lineage.offset = save.offset
    vm.order("migrate", {"uri": lineage.uri(path)})


def cancel_saves(vm, lineage, save, path):
    """The first milliseconds of a save, in which its threads are set up"""
    rng = random.Random(save.seed)
    for _ in range(CANCELS):
        mark = vm.mark()
        start_save(vm, lineage, save, path)
        time.sleep(rng.choice((0, rng.uniform(0, CANCEL_S))))
        vm.order("migrate_cancel")
        status = vm.wait_status("completed", "failed", "cancelled", mark=mark)
        if status == "failed":
            raise GuestLost(f"cancelling a save: {vm.why()}")
        if status == "completed":
            vm.order("cont")
        vm.world.count("saves cancelled", status)


def wait_saved(vm, mark, what="saving"):
    status = vm.wait_status("completed", "failed", "cancelled", mark=mark)
    if status != "completed":
        raise GuestLost(f"{what} {status}: {vm.why()}")


def finish_save(vm, lineage, save, path):
    cancel_saves(vm, lineage, save, path)
    mark = vm.mark()
    start_save(vm, lineage, save, path)
    wait_saved(vm, mark)
    lineage.path = path
    lineage.saved = save.capability
    lineage.generation += 1
    vm.world.count("saves", save.capability)
    for word, used in (("multifd", save.channels), ("direct", save.direct),
                       ("live", save.live), ("offset", save.offset),
                       ("over a snapshot", save.over)):
        if used:
            vm.world.count("saves", word)


def kill_saver(vm, lineage, save, path):
    """What is left may be anything; the guest is gone"""
    start_save(vm, lineage, save, path)
    time.sleep(save.kill * KILLED_SAVE_S)
    done = vm.migration() == "completed"
    vm.guest.signal(signal.SIGKILL)
    status = vm.wait_end(vm.world.hang_s)
    if status != -signal.SIGKILL:
        raise GuestLost(f"a saver ended before it was killed: "
                        f"{vm.last_words()}")
    vm.world.count("savers killed", "after the save" if done else
                   "during the save")
    lineage.path = path
    lineage.saved = ""
