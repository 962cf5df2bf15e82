# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest of tests/fixed-ram-guest, and its serial port."""

from pathlib import Path
import re
import threading
import time

from .qemu import Qemu
from .qmp import Failure, Lost

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


class Machine(Qemu):
    """A QEMU whose serial port, if it has one, is ours"""

    patience_s = None       # for a guest that may be silent

    def __init__(self, qemu, options, has_serial=True, env=None, log=None):
        self.read_bytes_at_first_byte = None
        self._read_bytes_at_start = 0
        self.serial = None
        if has_serial:
            options = ["-serial", "chardev:serial", *options]
        super().__init__(qemu, options, ["serial"] if has_serial else [], env,
                         log)
        if has_serial:
            self.serial = Serial(self.sockets["serial"], self._at_first_byte)

    def _at_first_byte(self):
        self.read_bytes_at_first_byte = self.read_bytes()

    def mark_read_bytes(self):
        """read_bytes() counts from here"""
        self._read_bytes_at_start = 0
        self._read_bytes_at_start = self.read_bytes()

    def read_bytes(self):
        """What the process has had read from disks; 0 if not known"""
        try:
            text = Path(f"/proc/{self.pid}/io").read_text()
        except OSError:
            return 0
        found = re.search(r"^read_bytes: (\d+)$", text, re.M)
        return int(found[1]) - self._read_bytes_at_start if found else 0

    def command(self, line, pattern, timeout, each=None):
        """Send the guest a command and wait for the line that answers it"""
        return self.serial.wait_line(pattern, timeout, self.serial.send(line),
                                     each)


class Guest(Machine):
    """A QEMU that boots the guest"""

    def __init__(self, qemu, kernel, initrd, memory_mib, accel="tcg",
                 extra=(), env=None, log=None):
        super().__init__(qemu, [
            "-machine", f"pc,accel={accel}", "-m", str(memory_mib),
            "-kernel", str(kernel), "-initrd", str(initrd),
            "-append", APPEND, *extra], env=env, log=log)
