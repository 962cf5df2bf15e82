# SPDX-License-Identifier: GPL-2.0-or-later
"""Images that are damaged."""

import shutil

from libvirttest import ON_DEMAND, LibvirtTest


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
