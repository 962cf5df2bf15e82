# SPDX-License-Identifier: GPL-2.0-or-later
"""A load, with all that is done to the guest meanwhile."""

from random import Random
import re
import time

from . import actions, devices, disk, pauses, sets
from .ending import SIGNALS, Ended, end
from .machine import can_be_mapped
from .vm import SHORT_S, GuestLost

ENDS = {*SIGNALS, "quit"}
BALLOON_PART = 0.7      # of what the guest has free


class Waits(Exception):
    """A command that is not answered before the load goes on"""


class LoadRun:
    """One load. Commands without an answer during a pause are pending"""

    def __init__(self, vm, lineage, load, faults=None, about_sets=None):
        self.vm = vm
        self.world = vm.world
        self.lineage = lineage
        self.load = load
        self.mapped = load.mapped and can_be_mapped(vm.machine)
        self.about_sets = about_sets
        self.reading = lineage.path
        self.spare = None       # its copy, where one will be needed
        self.devices = lineage.devices.copy()
        self.faults = faults    # can make reads fail, or None
        self.paused = False     # in-band commands may not be answered
        self.did = []           # words for the cycle's line
        self.was_reset = False
        self.settled = True     # it is known which devices are there
        self._pending = []
        self._touches = []      # marks in the serial port's lines
        self._stray = False     # a migration came too late to be refused

    # ------------------------------------------------------------ asking

    def ask(self, command, arguments=None, oob=False):
        if not self.paused or oob:
            return self.vm.ask(command, arguments, oob=oob)
        if self._pending:
            raise Waits
        try:
            return self.vm.ask(command, arguments,
                               SHORT_S * self.world.slowness)
        except TimeoutError as e:
            self._pending.append(e.sent)
            raise Waits from None

    def must(self, command, arguments=None):
        answer = self.ask(command, arguments)
        if not answer.ok:
            raise GuestLost(answer.why)
        return answer.value

    def hmp(self, line):
        return self.must("human-monitor-command", {"command-line": line})

    def either(self, command, arguments, pattern):
        """It may be refused, for the reasons that the pattern names"""
        answer = self.ask(command, arguments)
        if answer.ok:
            return "ok"
        if not re.search(pattern, answer.why):
            raise GuestLost(answer.why)
        return "refused"

    def refused(self, command, arguments, pattern, oob=False):
        answer = self.ask(command, arguments, oob=oob)
        if answer.ok and command == "migrate":
            self._stray = True
        return self.judge(command, answer.ok, answer.why, pattern)

    def judge(self, command, ok, why, pattern):
        """While RAM is missing it must be refused, and say why"""
        if self.vm.loaded():
            return "over"
        if ok:
            raise GuestLost(f"{command} was not refused during the load")
        if not re.search(pattern, why):
            raise GuestLost(f"{command} was refused, but why? {why}")
        return "refused"

    def wait_event(self, name, mark, **data):
        """As part of an action"""
        limit = SHORT_S * self.world.slowness if self.paused else None
        try:
            return self.vm.wait_for(lambda: self.vm.event(name, mark, **data),
                                    f"{name} {data}", limit)
        except TimeoutError:
            if not self.paused:
                raise
            raise Waits from None

    # ------------------------------------------------------------ the guest

    def touch(self, pages, seed):
        # it answers in the end
        self._touches.append(self.vm.serial.send(
            f"touch {pages} {seed} {self.lineage.filled}"))

    def balloon_target(self, rng):
        """MiB that leave the guest enough to live"""
        machine = self.vm.machine
        free = max(0, machine.memory - 192 - self.lineage.filled)
        return machine.memory - rng.randint(0, int(free * BALLOON_PART))

    def wrong(self):
        """A file that is a snapshot, but is cut short"""
        return disk.cut_copy(self.world, self.lineage, 0.5)

    # ------------------------------------------------------------ the load

    def prepare(self):
        load, vm = self.load, self.vm
        on = ["events", load.capability]
        on += ["postcopy-ram"] if load.demand else []
        on += ["multifd"] if load.channels else []
        on += ["postcopy-blocktime"] if load.blocktime and load.demand else []
        vm.switch(on=on)
        vm.order("migrate-set-parameters", {
            "multifd-channels": load.channels or 2, "direct-io": load.direct,
            "max-postcopy-bandwidth": self._bandwidth(),
            "fixed-ram-precopy-percent": load.percent,
            "fixed-ram-load-mode": "mapped" if self.mapped else "auto"})
        if self.about_sets:
            sets.prepare(self, self.about_sets)
        if any(action.name == "truncate" for action in load.actions):
            self.spare = disk.spare_copy(self.reading)
        if load.broken:
            self._try_broken()

    def _bandwidth(self):
        """So that the load takes as long as it shall"""
        slow = self.load.slow
        return max(1, int(self.lineage.filled / slow)) << 20 if slow else 0

    def incoming(self, path=None):
        return self.vm.ask("migrate-incoming", {
            "uri": self.lineage.uri(path), "exit-on-error": False})

    def _try_broken(self):
        path = disk.broken_file(self.world, self.lineage, self.load.broken)
        if self.incoming(path).ok:
            raise GuestLost(f"a file that is {self.load.broken} was taken")
        self.world.count("broken files refused", self.load.broken)
        path.unlink(missing_ok=True)

    def run(self):
        """Until all is loaded, or Ended"""
        self.prepare()
        if self.load.faults and self.faults:
            # noise from the first read on; a failing disk ends it
            self.faults.target(self.reading)
            self.faults.fail(pauses.TRANSIENT[self.load.faults], every=3)
        answer = self.incoming()
        if not answer.ok:
            raise GuestLost(answer.why)
        if self.load.hurry is not None:
            time.sleep(self.load.hurry)
            self.vm.ask("migrate-start-postcopy")
        if self.load.touch:
            # not sooner: what the serial port holds is loaded, too
            self._wait_running()
            self.touch(self.load.touch, 1)
        for action in self.load.actions:
            time.sleep(action.delay)
            if action.name not in actions.EARLY | ENDS:
                self._wait_running()
            self.act(action)
            self.check_status()
        self.must("migrate-set-parameters", {"max-postcopy-bandwidth": 0})
        self.finish()

    def finish(self):
        if self.about_sets:
            sets.let_run(self, self.about_sets)
        self._wait_completed()
        self._settle()
        if self.about_sets:
            sets.finish(self, self.about_sets)

    def _wait_running(self):
        self.vm.wait_for(lambda: self.vm.migration() not in
                         ("none", "setup", "active"), "start of the guest")
        self.check_status()

    def act(self, action):
        name = action.name
        self.world.log(f"-- {name}")
        if name in ENDS:
            self._end(name)
        try:
            if name in pauses.KINDS:
                done = pauses.act(self, action)
            elif name == "reset":
                done = self._reset()
            else:
                done = actions.BY_NAME[name](self, Random(action.seed))
        except Waits:
            done = "waits"
        self.world.count("actions", f"{name}: {done}")
        self.did.append(name if done == "ok" else f"{name} {done}")

    def check_status(self):
        status = self.vm.migration()
        if status in ("failed", "postcopy-paused"):
            raise GuestLost(f"the load: {status}: {self.vm.why()}")

    def _wait_completed(self):
        def over():
            self.check_status()
            return self.vm.loaded()
        self.vm.wait_for(over, "end of the load")
        self.world.count("loads", f"on demand, {self.load.capability}"
                         if self.load.demand else
                         "mapped" if self.mapped else "eager")

    def _end(self, name):
        paused = self.paused
        self.did.append(name + (" in a pause" if paused else ""))
        self.world.count("ends", "in a pause" if paused else "during a load")
        end(self.vm, name, blocked=paused)
        raise Ended

    def collect_pending(self):
        """Commands without an answer during a pause get it now"""
        for sent in self._pending:
            answer = self.vm.wait_answer(sent)
            if sent[1] == "migrate" and answer.ok:
                self._stray = True
        self._pending.clear()

    # ------------------------------------------------------------ the end

    def _reset(self):
        """The content goes, and the guest boots"""
        self.must("set-action", {"reboot": "reset"})
        self.must("system_reset")
        self.was_reset = True
        return "ok"

    def cont(self):
        """False: a migration that came too late to be refused is ending"""
        return self.either("cont", None, "not finalized yet"
                           if self._stray else "$^") == "ok"

    def _wait_stray(self):
        self.vm.wait_for(
            lambda: self.vm.statuses().count("completed") > 1
            or self.vm.migration() in ("failed", "cancelled"),
            "end of a migration")
        # the event comes a little before QEMU is done
        self.vm.wait_for(lambda: self.must("query-status")["status"]
                         != "finish-migrate", "what follows a migration")

    def _settle(self):
        if self._stray:
            self._wait_stray()
        if self.must("query-status")["status"] != "running":
            self.must("cont")
        if self.was_reset:
            return
        if self.vm.machine.balloon:
            self.either("balloon", {"value": self.vm.machine.memory << 20},
                        "not been activated")
        for mark in self._touches:
            answer = self.vm.serial.wait_line(
                "^touch (ok|BAD).*", self.world.hang_s, mark)[0]
            if not answer.startswith("touch ok"):
                raise GuestLost(f"the guest says: {answer}")
        self.settled = devices.settle(self)


def verify(vm, lineage):
    """The guest looks at all of its content"""
    activity = lineage.activity
    if activity:
        vm.guest.command(f"{activity} 0", f"^{activity} off$",
                         vm.world.hang_s)
    answer = vm.guest.command("verify", "^verify (ok|BAD).*",
                              vm.world.hang_s)[0]
    bad = [text for _, text in vm.serial.lines if " BAD" in text]
    if bad or not answer.startswith("verify ok"):
        raise GuestLost(f"the guest says: {(bad or [answer])[0]}")
    vm.world.count("verified", "guests")
    vm.world.count("verified", "pages", int(answer.split("=")[1]))
