# SPDX-License-Identifier: GPL-2.0-or-later
"""A paused machine whose memory is known, saved and loaded in all ways."""

import os
from pathlib import Path
import socket
import subprocess
import tempfile
import time

from fixed_ram.guest import FIRMWARE, describe_status
from fixed_ram.qmp import QMP, Failure, Lost

MEMORY_MIB = 48
CONTENT_AT = 16 << 20           # in RAM
CONTENT_BYTES = 6 << 20
NAME, UUID = "tool-test", "12345678-9abc-def0-1234-56789abcdef0"


class Vm:
    """Use it in a `with`, which ends it in any case

    content: a file that is put into its memory; None: it will be loaded
    more: options of the command line
    """

    def __init__(self, qemu, content=None, memory_mib=MEMORY_MIB, more=()):
        ours, its = socket.socketpair()
        command = [str(qemu)]
        for directory in FIRMWARE:
            if Path(directory).is_dir():
                command += ["-L", directory]
        command += [
            "-machine", "pc,accel=tcg", "-m", str(memory_mib), "-S",
            "-nodefaults", "-no-user-config", "-display", "none",
            "-rtc", "clock=vm", "-device", "VGA", "-name", NAME,
            "-uuid", UUID,
            "-chardev", f"socket,id=qmp,fd={its.fileno()}",
            "-mon", "chardev=qmp,mode=control"]
        if content:
            command += ["-device", f"loader,file={content},force-raw=on,"
                        f"addr={CONTENT_AT:#x}"]
        else:
            command += ["-incoming", "defer"]
        command += more
        self._stderr = tempfile.TemporaryFile()
        self._socket = ours
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self._stderr,
            stderr=self._stderr, start_new_session=True,
            pass_fds=(its.fileno(),))
        its.close()
        self.qmp = None

    def __enter__(self):
        try:
            self.qmp = QMP(self._socket)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, kind=None, value=None, trace=None):
        try:
            if kind is Lost:
                status = self._process.wait(10)
                raise Failure(f"QEMU has ended ({describe_status(status)}): "
                              f"{self._said()}") from value
        finally:
            if self._process.poll() is None:
                self._process.kill()
            self._process.wait()
            self._socket.close()
            self._stderr.close()

    def _said(self):
        self._stderr.seek(0)
        return self._stderr.read().decode(errors="replace").strip()

    def _capabilities(self, names, state=True):
        for name in names:
            self.qmp.execute("migrate-set-capabilities", {"capabilities": [
                {"capability": name, "state": state}]})

    def _wait(self, what):
        end = time.monotonic() + 300
        while time.monotonic() < end:
            info = self.qmp.execute("query-migrate")
            if info.get("status") == "completed":
                return
            if info.get("status") == "failed":
                raise Failure(f"{what}: {info.get('error-desc')} "
                              f"{self._said()}")
            time.sleep(0.05)
        raise Failure(f"{what}: no end")

    def save(self, path, capabilities=(), offset=0):
        self.qmp.execute("migrate-set-parameters", {"max-bandwidth": 0})
        self._capabilities(capabilities)
        self.qmp.execute("migrate", {"uri": f"file:{path},offset={offset}"})
        self._wait(f"saving {path}")
        self._capabilities(reversed(capabilities), False)

    def load(self, path, capabilities):
        self._capabilities(capabilities)
        self.qmp.execute("migrate-incoming", {"uri": f"file:{path}"})
        self._wait(f"loading {path}")
        self._capabilities(reversed(capabilities), False)

    def read_memory(self, path, address, length):
        self.qmp.execute("pmemsave", {"val": address, "size": length,
                                      "filename": str(path)})


def make_content(path):
    """Pages that are all different, and every 5th one zero"""
    with open(path, "wb") as f:
        for page in range(CONTENT_BYTES // 4096):
            f.write(bytes(4096) if page % 5 == 4 else
                    page.to_bytes(4, "little") + os.urandom(4092))
