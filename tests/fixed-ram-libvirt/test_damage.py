# SPDX-License-Identifier: GPL-2.0-or-later
"""Images that are damaged."""

import json
import os
import select
import shutil
import time

from fixed_ram.child import started
from fixed_ram.qmp import Failure
from fixed_ram_libvirt.daemon import VIRSH
from libvirttest import LIMIT_S, ON_DEMAND, SLOWLY, LibvirtTest


class DamageTest(LibvirtTest):

    def copy(self):
        path = self.path("damaged.image")
        shutil.copy(self.image("verified"), path)
        return path

    def write(self, path, offset, data):
        """Returns what was there"""
        with open(path, "r+b") as f:
            f.seek(offset)
            before = f.read(len(data))
            f.seek(offset)
            f.write(data)
        return before

    def page_of_the_fill(self, path):
        """Offset in the file of a page that only `verify` reads"""
        ranges = json.loads(self.tool("map", "--block=pc.ram",
                                      "--output=json", path))
        most = max((r for r in ranges if r["data"]),
                   key=lambda r: r["length"])
        return most["offset"] + most["length"] // 2 // 4096 * 4096

    def refused_restore(self, path):
        """What virsh says; a good image can be restored after it"""
        said = self.refused(self.restore, path, *ON_DEMAND)
        self.restore(self.image("verified"), *ON_DEMAND)
        self.verify()
        return said

    def test_bitmap(self):
        """Refused before the guest starts, with the whole message"""
        path = self.copy()
        # the first block's bitmap follows its header
        self.write(path, self.info(path)["offset"] + 4096, b"\x55" * 64)
        self.says(self.refused_restore(path), str(path), "checksum",
                  "expected")

    def test_cut(self):
        path = self.copy()
        with open(path, "r+b") as f:
            f.truncate(path.stat().st_size // 2)
        self.says(self.refused_restore(path), str(path))

    def events(self):
        """A process that prints the migration's events"""
        return started(self.libvirt.inside(
            ["stdbuf", "-oL", *VIRSH, "qemu-monitor-event", "guest", "--loop",
             "--event", "MIGRATION"]))

    def fail_again(self):
        try:
            self.qmp("migrate-recover")
        except Failure:
            pass            # it is at work

    def wait_event(self, virsh, text, cause):
        """Until virsh prints it; virsh does not say when it listens"""
        end = time.monotonic() + LIMIT_S
        printed = ""
        while time.monotonic() < end:
            cause()
            if select.select([virsh.stdout], [], [], 1)[0]:
                printed += os.read(virsh.stdout.fileno(), 65536).decode()
            if text in printed:
                return
        self.fail(f"virsh has not printed {text} but {printed}")

    def test_page(self):
        """The load pauses, virsh shows it, and it goes on"""
        path = self.copy()
        offset = self.page_of_the_fill(path)
        good = self.write(path, offset, b"\x55" * 64)
        self.restore(path, *ON_DEMAND, *SLOWLY)
        self.full_speed()
        with self.events() as virsh:
            self.wait_event(virsh, '"postcopy-paused"', self.fail_again)
        self.says(self.figures()["error-desc"], str(path), "pc.ram",
                  "checksum", "expected")
        self.write(path, offset, good)
        self.qmp("migrate-recover")
        self.wait_loaded()
        self.verify()
