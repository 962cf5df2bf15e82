# SPDX-License-Identifier: GPL-2.0-or-later
"""A QEMU process with the guest of tests/fixed-ram-guest in it."""

import os
from pathlib import Path
import re
import socket
import subprocess
import tempfile
import threading
import time

from .qmp import QMP, Failure, Lost

# no_timer_check: on a busy machine emulated timers may seem not to work
APPEND = "console=ttyS0 quiet panic=-1 no_timer_check"


class Serial:
    """The guest's serial port; lines and the first byte carry their time"""

    def __init__(self, sock, on_first_byte=None):
        self.first_byte = None
        self.lines = []                 # (time, text)
        self._socket = sock
        self._on_first_byte = on_first_byte
        self._closed = False
        self._changed = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        rest = b""
        while True:
            try:
                data = self._socket.recv(4096)
            except OSError:
                data = b""
            now = time.monotonic()
            if data and self.first_byte is None:
                if self._on_first_byte:
                    self._on_first_byte()
                self.first_byte = now
            *whole, rest = (rest + data).split(b"\n")
            with self._changed:
                for line in whole:
                    text = line.decode(errors="replace").strip()
                    self.lines.append((now, text))
                self._closed = not data
                self._changed.notify_all()
            if not data:
                return

    def send(self, line):
        """Give the guest a command; returns the place where answers begin"""
        mark = len(self.lines)
        try:
            self._socket.sendall(line.encode() + b"\n")
        except OSError as e:
            raise Lost(f"the serial port: {e.strerror}") from e
        return mark

    def wait_line(self, pattern, timeout, mark=0, each=None, idle=None):
        """The match of the first line from mark on that matches pattern

        each(text) sees every line before it, idle() is called twice a second
        while nothing comes. A line "error ..." ends the wait.
        """
        end = time.monotonic() + timeout
        while True:
            with self._changed:
                while mark == len(self.lines):
                    if self._closed:
                        raise Lost("the serial port was closed")
                    left = end - time.monotonic()
                    if left <= 0:
                        raise Failure(self._complaint(pattern, timeout))
                    self._changed.wait(min(left, 0.5))
                    if idle:
                        idle()
                text = self.lines[mark][1]
            mark += 1
            match = re.search(pattern, text)
            if match:
                return match
            if text.startswith("error "):
                raise Failure(f"the guest says: {text}")
            if each:
                each(text)

    def wait_first_byte(self, timeout):
        end = time.monotonic() + timeout
        with self._changed:
            while self.first_byte is None:
                left = end - time.monotonic()
                if self._closed:
                    raise Lost("the serial port was closed")
                if left <= 0:
                    raise Failure("the guest printed nothing within "
                                  f"{timeout:g} s")
                self._changed.wait(left)
        return self.first_byte

    def _complaint(self, pattern, timeout):
        last = [t for _, t in self.lines if not t.startswith("tick ")][-3:]
        text = f"no '{pattern}' from the guest within {timeout:g} s"
        return text + (f"; its last lines: {' | '.join(last)}" if last else "")


class Guest:
    """Starts QEMU; use it in a `with`, which ends it in any case

    The monitor and the serial port are socket pairs, inherited by QEMU: no
    names in the file system, and nothing to wait for.

    env: QEMU's environment; log: a file for what it says
    """

    def __init__(self, qemu, kernel, initrd, memory_mib, accel="tcg",
                 extra=(), env=None, log=None):
        self._process = self.qmp = None
        self._stderr = open(log, "w+b") if log else tempfile.TemporaryFile()
        self.read_bytes_at_first_byte = None
        self._read_bytes_at_start = 0
        qmp, qmp_qemu = socket.socketpair()
        serial, serial_qemu = socket.socketpair()
        self._sockets = (qmp, serial)
        command = [
            str(qemu),
            "-machine", f"pc,accel={accel}", "-m", str(memory_mib),
            "-nodefaults", "-no-user-config", "-no-reboot",
            "-display", "none", "-rtc", "clock=vm",
            "-chardev", f"socket,id=serial,fd={serial_qemu.fileno()}",
            "-serial", "chardev:serial",
            "-chardev", f"socket,id=qmp,fd={qmp_qemu.fileno()}",
            "-mon", "chardev=qmp,mode=control",
            "-kernel", str(kernel), "-initrd", str(initrd),
            "-append", APPEND, *extra]
        try:
            # a session of its own: Ctrl-C is ours to handle
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=self._stderr,
                stderr=self._stderr, start_new_session=True, env=env,
                pass_fds=(qmp_qemu.fileno(), serial_qemu.fileno()))
            qmp_qemu.close()
            serial_qemu.close()
            self.serial = Serial(serial, self._at_first_byte)
            self.qmp = QMP(qmp)
        except OSError as e:
            self.__exit__(type(e), e, None)
            raise Failure(f"cannot start {qemu}: {e.strerror}") from e
        except BaseException as e:
            self.__exit__(type(e), e, None)
            raise

    def __enter__(self):
        return self

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

    def __exit__(self, kind, value, trace):
        status = self._end(10 if isinstance(value, Lost) else 0)
        if self.qmp:
            self.qmp.close()
        for sock in self._sockets:
            sock.close()
        said = self._what_it_said()
        self._stderr.close()
        if isinstance(value, Lost):
            raise Failure("QEMU ended unexpectedly "
                          f"({describe_status(status)}): "
                          f"{said or str(value)}") from value

    def _end(self, patience):
        """Its exit status; killed if it does not end within patience"""
        if self._process is None:
            return 0
        status = self.wait(patience)
        if status is None:
            self._process.kill()
            status = self._process.wait()
        return status

    def _what_it_said(self):
        lines = self.messages().split("\n")
        return " | ".join(line.strip() for line in lines if line.strip())[-800:]

    def messages(self):
        """What QEMU has printed"""
        # not read(): QEMU writes where this file stands
        size = os.fstat(self._stderr.fileno()).st_size
        return os.pread(self._stderr.fileno(), size, 0).decode(errors="replace")

    def _at_first_byte(self):
        self.read_bytes_at_first_byte = self.read_bytes()

    def mark_read_bytes(self):
        """read_bytes() counts from here"""
        self._read_bytes_at_start = 0
        self._read_bytes_at_start = self.read_bytes()

    def read_bytes(self):
        """What the process has had read from disks; 0 if not known"""
        try:
            text = Path(f"/proc/{self._process.pid}/io").read_text()
        except OSError:
            return 0
        found = re.search(r"^read_bytes: (\d+)$", text, re.M)
        return int(found[1]) - self._read_bytes_at_start if found else 0

    def command(self, line, pattern, timeout, each=None):
        """Send the guest a command and wait for the line that answers it"""
        return self.serial.wait_line(pattern, timeout, self.serial.send(line),
                                     each)

    def quit(self):
        """End QEMU in good order"""
        self.qmp.execute("quit", timeout=30)
        if self.wait(30) is None:
            raise Failure("QEMU does not end after quit")


def describe_status(status):
    return f"signal {-status}" if status < 0 else f"status {status}"
