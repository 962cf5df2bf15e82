# SPDX-License-Identifier: GPL-2.0-or-later
"""qemu-snapshot map."""

from stream import PAGE
from tooltest import ToolTest


class MapTest(ToolTest):
    def test_ranges(self):
        for kind, path in self.saved.items():
            entries = self.json("map", path)
            info = self.json("info", path)
            for entry in entries:
                self.schema.check(entry, "FixedRamMapEntry", kind)
                self.equal("offset" in entry,
                           entry["data"] and kind != "stream",
                           f"{kind}: offset")
            for block in info["blocks"]:
                self.check_map(block, [e for e in entries
                                  if e["block"] == block["name"]])
        one = self.json("map", "--block=pc.bios", self.saved["mapped-ram"])
        self.equal({e["block"] for e in one}, {"pc.bios"}, "--block")

    def check_map(self, block, entries):
        at = data = 0
        for entry in entries:
            self.equal(entry["start"], at, f"{block['name']}: start")
            at += entry["length"]
            if entry["data"]:
                data += entry["length"] // PAGE
                if "offset" in entry:
                    self.equal(entry["offset"],
                               block["offset"] + entry["start"],
                               f"{block['name']}: offset")
        self.equal(at, block["length"], f"{block['name']}: end")
        self.equal(data, block["data-pages"], f"{block['name']}: data")

    def test_picture(self):
        path = self.saved["mapped-ram"]
        text = self.tool("map", path, env={"COLUMNS": "60"})
        self.true("█" in text and "·" in text, text)
        self.true(max(map(len, text.split("\n"))) <= 70, "lines are too long")
        for words, env in (([path, "--ascii"], {}), ([path], {"LC_ALL": "C"})):
            text = self.tool("map", *words, env=env)
            self.true(text.isascii() and "#" in text, "not ASCII")
        empty = self.tool("map", "--ascii", "--block=pc.rom", path)
        self.true(empty.rstrip("\n").endswith("." * 32), empty)
