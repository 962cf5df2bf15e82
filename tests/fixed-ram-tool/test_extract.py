# SPDX-License-Identifier: GPL-2.0-or-later
"""qemu-snapshot extract."""

from machine import CONTENT_AT, CONTENT_BYTES, MEMORY_MIB
from tooltest import ToolTest, read_at


class ExtractTest(ToolTest):
    def test_content(self):
        saved, out = self.saved, self.path("out")
        memory = self.path("memory").read_bytes()
        for path in saved.values():
            self.tool("extract", "--block=pc.ram", path, out)
            self.equal(out.stat().st_size, MEMORY_MIB << 20, "size")
            self.true(read_at(out, CONTENT_AT, CONTENT_BYTES) == memory,
                      f"{path}: other content")
            self.true(out.stat().st_blocks * 512 < CONTENT_BYTES + (4 << 20),
                      "no holes for zeros")

    def test_range(self):
        path, out = self.saved["fixed-ram"], self.path("out")
        whole = self.path("whole")
        self.tool("extract", "--block=pc.ram", path, whole)
        for text, start, length in (
                ("16M+1M", 16 << 20, 1 << 20), ("0x1000100-0x1000223",
                                                0x1000100, 0x123),
                ("16777215+8193", 16777215, 8193), ("48M+0", 48 << 20, 0),
                ("47M-48M", 47 << 20, 1 << 20)):
            self.tool("extract", "-b", "pc.ram", f"--range={text}", path, out)
            self.true(out.read_bytes() == read_at(whole, start, length), text)
        for text in ("1", "1+", "-1", "2-1", "48M+1", "0-49M", "0x0+16E",
                     "a-b",
                     "1+2+3"):
            self.tool("extract", "-b", "pc.ram", f"--range={text}", path, out,
                      status=1)

    def test_refused(self):
        path = self.copy(self.saved["mapped-ram"], "victim")
        before = path.read_bytes()
        said = self.tool("extract", "-b", "nothing", path, self.path("out"),
                         status=1)
        self.true("pc.ram" in said, f"blocks are not listed: {said}")
        said = self.tool("extract", "-b", "pc.ram", path, path, status=1)
        self.true("file that is read" in said, said)
        self.true(path.read_bytes() == before, "the snapshot was changed")
