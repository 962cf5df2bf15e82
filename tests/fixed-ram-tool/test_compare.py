# SPDX-License-Identifier: GPL-2.0-or-later
"""qemu-snapshot compare."""

from machine import CONTENT_AT, MEMORY_MIB, make_content
from stream import PAGE
from tooltest import ToolTest, bitmap_at, set_bit, write_at


class CompareTest(ToolTest):
    def test_same(self):
        names = list(self.saved.values())
        for other in names[1:]:
            info = self.json("compare", names[0], other)
            self.schema.check(info, "FixedRamCompareInfo")
            self.equal(info["identical"], True, f"{names[0]} and {other}")
        self.true("identical" in self.tool("compare", names[0], names[-1]),
                  "text")

    def test_pages(self):
        """One bit here, a page there, and one that only pretends to be data"""
        path = self.copy(self.saved["mapped-ram"], "other")
        block = self.json("info", path)["blocks"][0]
        page = CONTENT_AT // PAGE
        write_at(path, block["offset"] + page * PAGE + 77, b"\xff\x00\xff")
        write_at(path, block["offset"] + (page + 1) * PAGE, bytes(PAGE))
        # page + 4 is zero: now the bitmap says that the file has its data
        set_bit(path, bitmap_at(path), page + 4)
        info = self.json("compare", self.saved["mapped-ram"], path, status=1)
        ram = info["blocks"][0]
        self.equal(ram["ranges"], [{"start": CONTENT_AT, "length": 2 * PAGE}],
                   "ranges")
        self.equal(ram["different-pages"], 2, "pages")
        text = self.tool("compare", self.saved["stream"], path, status=1)
        self.true("0x1000000 - 0x1001fff" in text, text)

    def test_machines(self):
        content = self.path("content2")
        make_content(content)
        with self.machine(content, memory_mib=MEMORY_MIB // 2) as vm:
            vm.save(self.path("half"), ["mapped-ram"])
        info = self.json("compare", self.path("half"), self.saved["stream"],
                          status=1)
        self.schema.check(info, "FixedRamCompareInfo")
        ram = info["blocks"][0]
        self.equal(ram["lengths"], [MEMORY_MIB << 19, MEMORY_MIB << 20],
                   "lengths")
        self.true(ram["different-pages"] > 1000, "other content")

    def test_quick(self):
        path = self.copy(self.converted, "other")
        self.tool("compare", "--quick", self.converted, path)
        # clusters with equal checksums are not read, as the manual says
        write_at(path, self.data_ranges(path)[0]["offset"], b"damage")
        self.tool("compare", "--quick", self.converted, path)
        self.tool("compare", self.converted, path, status=1)
        self.tool("compare", "--quick", path, self.saved["mapped-ram"],
                  status=2)
        self.tool("compare", path, self.path("missing"), status=2)
