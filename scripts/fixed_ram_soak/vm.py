# SPDX-License-Identifier: GPL-2.0-or-later
"""A QEMU process under test: what it is told, what it says, how it ends."""

import os
import re
import shutil
import subprocess
import time
from typing import NamedTuple

from fixed_ram.guest import Guest
from fixed_ram.qemu import describe_status
from fixed_ram.qmp import Failure, QMPError

from .machine import arguments

# A monitor holds eight commands that wait; out-of-band ones would be next.
SHORT_S = 2
SANITIZER = re.compile(
    r"ERROR: \w+Sanitizer|runtime error:|Sanitizer:DEADLYSIGNAL|"
    r"Assertion .* failed")


class GuestLost(Failure):
    """What must not happen"""


class Answer(NamedTuple):
    ok: bool
    value: object
    why: str                # of a refusal


class Vm:
    """Use it in a `with`. world: what all cycles share (see world.py)"""

    def __init__(self, world, machine, extra=(), env=None):
        self.world = world
        self.machine = machine
        log = world.new_log()
        world.log(f"{log.name}: {machine}")
        self.guest = Guest(
            world.qemu, world.kernel, world.initrd, machine.memory, "tcg",
            (*arguments(machine, world.disk), *extra),
            env={**os.environ, **world.env, **(env or {})}, log=log)
        self.serial = self.guest.serial
        self.status = None              # once it has ended
        self._log = log

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        lost = isinstance(value, (Failure, TimeoutError, OSError))
        if lost and self.guest.wait(1) is None:
            self._backtrace()
        complaint = self._complaint()
        self._keep_serial()
        try:
            self.guest.__exit__(kind, value, trace)
        finally:
            if complaint:
                raise GuestLost(complaint)

    # ------------------------------------------------------------ commands

    def ask(self, command, arguments=None, timeout=None, oob=False):
        """The answer; TimeoutError, with what to wait for, if there is none"""
        sent = self.guest.qmp.send(command, arguments, oob)
        return self.wait_answer(sent, arguments, timeout)

    def wait_answer(self, sent, arguments=None, timeout=None):
        try:
            value = self.guest.qmp.reply(sent, timeout or self.world.hang_s)
        except QMPError as e:
            self.world.log(f"{sent[1]} {arguments or ''}: {e}")
            return Answer(False, None, str(e))
        except TimeoutError as e:
            self.world.log(f"{sent[1]} {arguments or ''}: no answer")
            e.sent = sent
            raise
        self.world.log(f"{sent[1]} {arguments or ''}: {str(value)[:300]}")
        return Answer(True, value, None)

    def order(self, command, arguments=None, oob=False):
        """A command that has to work"""
        answer = self.ask(command, arguments, oob=oob)
        if not answer.ok:
            raise GuestLost(answer.why)
        return answer.value

    def switch(self, on=(), off=()):
        self.order("migrate-set-capabilities", {"capabilities": [
            {"capability": name, "state": state}
            for names, state in ((on, True), (off, False))
            for name in names]})

    # ------------------------------------------------------------ migration

    def mark(self):
        return len(self.guest.qmp.events)

    def statuses(self, mark=0):
        """Of the migration, as events have told them since mark"""
        return [event["data"]["status"]
                for _, event in self.guest.qmp.events[mark:]
                if event["event"] == "MIGRATION"]

    def migration(self):
        return (self.statuses() or ["none"])[-1]

    def loaded(self):
        """All of RAM is there; what has been migrated since does not count"""
        return "completed" in self.statuses()

    def wait_for(self, ready, what, timeout=None):
        """Until ready(), which is asked often; its result"""
        end = time.monotonic() + (timeout or self.world.hang_s)
        while True:
            result = ready()
            if result:
                return result
            if self.guest.wait(0) is not None:
                raise GuestLost(f"QEMU ended, waiting for {what}: "
                                f"{self.last_words()}")
            if time.monotonic() > end:
                raise TimeoutError(f"no {what} in time")
            time.sleep(0.01)

    def wait_status(self, *wanted, mark=0, timeout=None):
        """The latest status, once one of those wanted has come since mark"""
        return self.wait_for(
            lambda: set(wanted) & set(self.statuses(mark))
            and self.migration(), f"status {'/'.join(wanted)}", timeout)

    def event(self, name, mark=0, **data):
        """Data of the first such event since mark, or None"""
        for _, event in self.guest.qmp.events[mark:]:
            got = event.get("data", {})
            if event["event"] == name and all(
                    got.get(key) == value for key, value in data.items()):
                return got or {"none": True}
        return None

    def why(self):
        """What query-migrate says went wrong"""
        info = self.order("query-migrate")
        return info.get("error-desc", "QEMU does not say why")

    # ------------------------------------------------------------ the end

    def last_words(self):
        text = " | ".join(self.guest.messages().strip().split("\n"))[-1000:]
        status = self.guest.wait(0)
        return ("it runs" if status is None else describe_status(status)) \
            + (f": {text}" if text else "")

    def wait_end(self, patience):
        """Its exit status, or None if it does not end"""
        status = self.status = self.guest.wait(patience)
        if status is not None:
            self.world.log(f"ended, {describe_status(status)}")
        return status

    def quit(self):
        """In good order"""
        self.guest.qmp.send("quit")
        status = self.wait_end(self.world.hang_s)
        if status != 0:
            raise GuestLost(f"after quit: {self.last_words()}")

    def _complaint(self):
        """A sanitizer's report, or an assertion's, or None: never good"""
        text = self.guest.messages()
        found = SANITIZER.search(text)
        if not found:
            return None
        return f"{self._log.name}: " + \
            text[found.start():][:600].replace("\n", " | ")

    # ------------------------------------------------------------ logs

    def _keep_serial(self):
        with open(f"{self._log}.serial", "w", encoding="utf-8") as f:
            for when, text in self.serial.lines:
                if not text.startswith(("tick ", "work ")) or "BAD" in text:
                    f.write(f"{when - self.world.start:9.3f} {text}\n")

    def _backtrace(self):
        """What its threads do, beside the logs of a lost guest"""
        if not shutil.which("gdb"):
            return
        with open(f"{self._log}.backtrace", "wb") as f:
            try:
                subprocess.run(
                    ["gdb", "-p", str(self.guest.pid), "-batch", "-nx",
                     "-ex", "thread apply all backtrace 40"], stdout=f,
                    stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                    timeout=120, check=False)
            except subprocess.TimeoutExpired:
                f.write(b"gdb took too long\n")
