# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of deltas share: a base, and two deltas on it."""

import os
import shutil

from machine import CONTENT_AT, CONTENT_BYTES, make_content
from stream import PAGE
from tooltest import ToolTest

# Pages of the content that differ from the base; those in the second delta
FIRST, SECOND = (0, 7, 100, 101, 102, 900), (40, 101, 1300)


class DeltaFiles(ToolTest):
    def setUp(self):
        """Names: base, one and two, which are deltas, and full-one"""
        self.names = {name: self.path(f"delta-{name}")
                      for name in ("base", "one", "two", "full-one")}
        self._once("deltas", self._save_deltas)
        self.addCleanup(self._check_unchanged)

    def _save_deltas(self):
        contents = [self.path(f"delta-content-{n}") for n in range(3)]
        make_content(contents[0])
        for n, pages in enumerate((FIRST, SECOND)):
            data = bytearray(contents[n].read_bytes())
            for page in pages:
                data[page * PAGE:(page + 1) * PAGE] = os.urandom(PAGE)
            contents[n + 1].write_bytes(data)
        for name, content, base in (("base", 0, ""), ("one", 1, "base"),
                                    ("full-one", 1, ""), ("two", 2, "one")):
            with self.machine(contents[content]) as vm:
                vm.cmd("migrate-set-parameters", fixed_ram_base=str(
                    self.names[base]) if base else "")
                vm.save(self.names[name], ["fixed-ram"])
        return True

    def _check_unchanged(self):
        for path in self.names.values():
            self.tool("check", path)

    def folder_with(self, *names):
        """Copies of these, which a test may damage, and their paths"""
        folder = self.path("delta-copies")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return [shutil.copyfile(self.names[n], folder / self.names[n].name)
                for n in names]

    def content(self, path):
        out = self.path("delta-extracted")
        self.tool("extract", "-b", "pc.ram",
                  f"--range={CONTENT_AT:#x}+{CONTENT_BYTES:#x}", path, out)
        return out.read_bytes()

    def expect(self, number):
        return self.path(f"delta-content-{number}").read_bytes()

    def load(self, path, number, *more):
        """more: capabilities of one more load"""
        for capabilities in (["fixed-ram"], ["fixed-ram", "postcopy-ram"],
                             *more):
            with self.machine() as vm:
                vm.load(path, capabilities)
                memory = self.path("delta-memory")
                vm.read_memory(memory, CONTENT_AT, CONTENT_BYTES)
                self.true(memory.read_bytes() == self.expect(number),
                          f"{capabilities}: other memory")
