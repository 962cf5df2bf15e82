# SPDX-License-Identifier: GPL-2.0-or-later
"""Trials of random migration commands: a QEMU each, and how it ended."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import time

from fixed_ram.qemu import Qemu, describe_status
from fixed_ram.qmp import QMP, Failure, Lost

from .commands import DISCONNECT, MONITORS, draw_trial, shorter, switch

MEMORY_MIB = 64
CONTENT_MIB = 8
ANSWER_S = 0.5          # a step waits so long; the answer may come later
END_S = 30              # after SIGTERM
REPEATS = 4             # of a sequence that may be enough
REDUCE_S = 240
COMPLAINT = re.compile(
    r"[^\n]*Assertion .* failed[^\n]*|[^\n]*\bERROR:[^\n]*:\d+:[^\n]*|"
    r"ERROR: \w+Sanitizer[^\n]*|[^\n]*runtime error:[^\n]*")

# What the base does without our series: what QEMU says at the end, the command
# that a trial must have for it, and why.
KNOWN = (
    (r"yank_unregister_instance: Assertion `entry' failed|^signal 11|"
     r"qemu_loadvm_thread_pool_create: Assertion `!mis->load_threads' failed",
     "xen-load-devices-state",
     "it loads without what migrate-incoming sets up: the yank instance, "
     "channels of multifd, the check that no other load runs"),
    (r"invalid runstate transition: 'prelaunch' -> 'paused'",
     "migrate-set-capabilities",
     "background-snapshot pauses a guest that has never been started"),
)


def known(complaint, trial):
    """Why it is the base's, or None"""
    given = {step.command for step in trial.steps}
    return next((why for pattern, command, why in KNOWN
                 if command in given and re.search(pattern, complaint)), None)


class Commands:
    """The files that trials start from, and the trials"""

    def __init__(self, world):
        self.world = world
        self.dir = world.dir / "commands"
        self.kept = world.dir / "commands-kept"     # copied for each trial

    def remove(self):
        for folder in (self.dir, self.kept):
            shutil.rmtree(folder, ignore_errors=True)

    def _qemu(self, options, log=None):
        return Qemu(self.world.qemu, [
            "-machine", "pc,accel=tcg", "-m", str(MEMORY_MIB), "-S",
            *options], env={**os.environ, **self.world.env}, log=log)

    def save_snapshots(self):
        self.remove()
        self.kept.mkdir()
        content = self.kept / "content"
        content.write_bytes(b"".join(
            page.to_bytes(8, "little") * 512
            for page in range(1, (CONTENT_MIB << 8) + 1)))
        for name, capabilities in (("plain", ()), ("mapped", ("mapped-ram",)),
                                   ("fixed", ("fixed-ram",))):
            with self._qemu(["-device", f"loader,file={content},force-raw=on,"
                             "addr=0x1000000"]) as vm:
                vm.qmp.execute("migrate-set-capabilities",
                               switch("events", *capabilities))
                vm.qmp.execute("migrate", {"uri": f"file:{self.kept / name}"})
                vm.qmp.wait_event("MIGRATION", 60, status="completed")
        content.unlink()
        with open(self.kept / "fixed", "rb") as f:
            (self.kept / "cut").write_bytes(f.read(3 << 20))

    def _fresh_files(self):
        shutil.rmtree(self.dir, ignore_errors=True)
        subprocess.run(["cp", "-r", "--sparse=always", self.kept, self.dir],
                       check=True)

    def draw(self, seed, number):
        return draw_trial(seed, number, self.dir)

    def run(self, trial):
        """None, or what is wrong about how it ended"""
        self._fresh_files()
        sockets = [self.dir / f"m{n}.socket" for n in range(MONITORS)]
        options = ["-incoming", "defer"] if trial.incoming else []
        for n, path in enumerate(sockets):
            options += ["-chardev",
                        f"socket,id=m{n},path={path},server=on,wait=off",
                        "-mon", f"chardev=m{n},mode=control"]
        log = self.world.new_log()
        try:
            with self._qemu(options, log) as vm:
                return Run(vm, sockets, self.world.log).run(trial)
        except (Failure, TimeoutError) as e:
            return f"cannot start: {e}"

    def reduce(self, trial, complaint):
        """The shortest trial found that still ends like that"""
        end, wanted = time.monotonic() + REDUCE_S, signature(complaint)
        found = True
        while found:
            found = False
            for attempt in shorter(trial):
                if time.monotonic() > end:
                    return trial
                if self._ends_so(attempt, wanted):
                    trial, found = attempt, True
                    break
        return trial

    def _ends_so(self, trial, wanted):
        return any(signature(self.run(trial)) == wanted
                   for _ in range(REPEATS))


def signature(complaint):
    """What stays the same from one run to the next"""
    return complaint and re.sub(r"0x[0-9a-f]+|\d{3,}", "N", complaint)[:200]


class Run:
    """One trial's QEMU and its monitors"""

    def __init__(self, vm, sockets, log):
        self.vm, self.sockets, self.log = vm, sockets, log
        self.monitors = [None] * len(sockets)
        self.unanswered = []

    def run(self, trial):
        try:
            for step in trial.steps:
                if self.vm.wait(0) is not None:
                    break
                self._step(step)
            self._settle()
        finally:
            for n in range(len(self.monitors)):
                self._disconnect(n)
        return self._ending()

    def _connect(self, n):
        """A monitor that does not answer stays away, as with any client"""
        if self.monitors[n] is None:
            sock = socket.socket(socket.AF_UNIX)
            try:
                sock.connect(str(self.sockets[n]))
                self.monitors[n] = QMP(sock, ANSWER_S)
            except (OSError, Failure, TimeoutError):
                sock.close()
        return self.monitors[n]

    def _disconnect(self, n):
        if self.monitors[n]:
            self.monitors[n].close()
            self.monitors[n] = None

    def _step(self, step):
        time.sleep(step.pause_s)
        self.log(str(step))
        if step.command == DISCONNECT:
            self._disconnect(step.monitor)
            return
        monitor = self._connect(step.monitor)
        if not monitor:
            return
        sent = monitor.send(step.command, step.arguments, step.oob)
        if not step.wait:
            self.unanswered.append((monitor, sent))
        else:
            try:
                self.log(f"  {monitor.reply(sent, ANSWER_S)}")
            except Lost:
                self.monitors[step.monitor] = None
                monitor.close()
            except (Failure, TimeoutError) as e:
                self.log(f"  {e}")

    def _settle(self):
        """QEMU itself crashes on a command that it reads while it ends: its
        dispatcher is gone, and its monitors are not yet
        """
        end = time.monotonic() + ANSWER_S
        for monitor, sent in self.unanswered:
            with contextlib.suppress(Failure, TimeoutError):
                monitor.reply(sent, max(0.01, end - time.monotonic()))

    def _ending(self):
        """SIGTERM ends QEMU from every state; an error may have ended it"""
        if self.vm.wait(0) is None:
            self.vm.signal(signal.SIGTERM)
        status = self.vm.wait(END_S)
        found = COMPLAINT.search(self.vm.messages())
        if found:
            return found[0].strip()
        if status is None:
            return f"SIGTERM does not end it within {END_S} s"
        if status not in (0, 1):
            return f"{describe_status(status)}: {self.vm.messages()[-300:]}"
        return None
