# SPDX-License-Identifier: GPL-2.0-or-later
"""A QEMU process with a monitor."""

import os
import socket
import subprocess
import tempfile

from .qmp import QMP, Failure, Lost

MACHINE = ("-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
           "-rtc", "clock=vm")


class Qemu:
    """Use it in a `with`, which ends it in any case

    The monitor and other chardevs are socket pairs, inherited by QEMU: no
    names in the file system, and nothing to wait for.

    chardevs: their names; `sockets` holds our end of each
    env: QEMU's environment; log: a file for what it says
    """

    machine = MACHINE

    def __init__(self, qemu, options, chardevs=(), env=None, log=None):
        self._process = self.qmp = None
        self._stderr = open(log, "w+b") if log else tempfile.TemporaryFile()
        self.sockets = {}
        theirs = []
        command = [str(qemu), *self.machine, "-mon", "chardev=qmp,mode=control"]
        for name in ("qmp", *chardevs):
            self.sockets[name], end = socket.socketpair()
            theirs.append(end)
            command += ["-chardev", f"socket,id={name},fd={end.fileno()}"]
        try:
            # a session of its own: Ctrl-C is ours to handle
            self._process = subprocess.Popen(
                [*command, *options], stdin=subprocess.DEVNULL,
                stdout=self._stderr, stderr=self._stderr, env=env,
                start_new_session=True,
                pass_fds=[end.fileno() for end in theirs])
            for end in theirs:
                end.close()
            self.qmp = QMP(self.sockets["qmp"])
        except OSError as e:
            self.__exit__(type(e), e, None)
            raise Failure(f"cannot start {qemu}: {e.strerror}") from e
        except BaseException as e:
            self.__exit__(type(e), e, None)
            raise

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        status = self._end(10 if isinstance(value, Lost) else 0)
        if self.qmp:
            self.qmp.close()
        for sock in self.sockets.values():
            sock.close()
        said = self._what_it_said()
        self._stderr.close()
        if isinstance(value, Lost):
            raise Failure("QEMU ended unexpectedly "
                          f"({describe_status(status)}): "
                          f"{said or str(value)}") from value

    @property
    def pid(self):
        return self._process.pid

    def signal(self, number):
        """Until wait() has told its status, the number is this process's"""
        self._process.send_signal(number)

    def wait(self, timeout):
        """Its exit status, or None if it does not end in time"""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def quit(self):
        """End QEMU in good order"""
        self.qmp.execute("quit", timeout=30)
        if self.wait(30) is None:
            raise Failure("QEMU does not end after quit")

    def _end(self, patience):
        """Its exit status; killed if it does not end within patience"""
        if self._process is None:
            return 0
        status = self.wait(patience)
        if status is None:
            self._process.kill()
            status = self._process.wait()
        return status

    def messages(self):
        """What QEMU has printed"""
        # not read(): QEMU writes where this file stands
        size = os.fstat(self._stderr.fileno()).st_size
        return os.pread(self._stderr.fileno(), size, 0).decode(errors="replace")

    def _what_it_said(self):
        lines = self.messages().split("\n")
        return " | ".join(line.strip() for line in lines if line.strip())[-800:]


def describe_status(status):
    return f"signal {-status}" if status < 0 else f"status {status}"
