# SPDX-License-Identifier: GPL-2.0-or-later
"""A paused machine whose memory is known, to be saved and loaded."""

import os
import time

from qemu.machine import QEMUMachine

MEMORY_MIB = 48
CONTENT_AT = 16 << 20           # in RAM
CONTENT_BYTES = 6 << 20
NAME, UUID = "tool-test", "12345678-9abc-def0-1234-56789abcdef0"
LIMIT_S = 300


class Machine(QEMUMachine):
    """Use it in a `with`, which starts it and ends it

    content: a file that is put into its memory; None: it will be loaded
    more: options of the command line
    """

    def __init__(self, qemu, folder, content=None, memory_mib=MEMORY_MIB,
                 more=()):
        super().__init__(str(qemu), base_temp_dir=str(folder))
        self.set_machine("pc,accel=tcg")
        self.add_args("-m", str(memory_mib), "-S", "-nodefaults",
                      "-no-user-config", "-rtc", "clock=vm",
                      "-device", "VGA", "-name", NAME, "-uuid", UUID)
        if content:
            self.add_args("-device", f"loader,file={content},force-raw=on,"
                          f"addr={CONTENT_AT:#x}")
        else:
            self.add_args("-incoming", "defer")
        self.add_args(*more)

    def __enter__(self):
        self.launch()
        return self

    def switch(self, names, state):
        for name in names:
            self.cmd("migrate-set-capabilities", capabilities=[
                {"capability": name, "state": state}])

    def wait_for(self, *statuses):
        """Wait until the migration has one of these, and return it"""
        end = time.monotonic() + LIMIT_S
        while time.monotonic() < end:
            info = self.cmd("query-migrate")
            if info.get("status") in statuses:
                return info["status"]
            if info.get("status") == "failed":
                raise AssertionError(f"failed: {info.get('error-desc')}")
            time.sleep(0.05)
        raise AssertionError(f"not {statuses} within {LIMIT_S} s")

    def save(self, path, capabilities=(), offset=0):
        self.cmd("migrate-set-parameters", max_bandwidth=0)
        self.switch(capabilities, True)
        self.cmd("migrate", uri=f"file:{path},offset={offset}")
        self.wait_for("completed")
        self.switch(reversed(capabilities), False)

    def load(self, path, capabilities):
        self.switch(capabilities, True)
        self.cmd("migrate-incoming", uri=f"file:{path}")
        self.wait_for("completed")
        self.switch(reversed(capabilities), False)

    def read_memory(self, path, address, length):
        self.cmd("pmemsave", val=address, size=length, filename=str(path))


def make_content(path):
    """Pages that are all different, and every 5th one zero"""
    with open(path, "wb") as f:
        for page in range(CONTENT_BYTES // 4096):
            f.write(bytes(4096) if page % 5 == 4 else
                    page.to_bytes(4, "little") + os.urandom(4092))
