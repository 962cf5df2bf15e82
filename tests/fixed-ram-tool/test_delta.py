# SPDX-License-Identifier: GPL-2.0-or-later
"""qemu-snapshot with deltas: info, check, map, extract, compare, merge."""

import shutil

from deltafiles import FIRST, DeltaFiles
from machine import CONTENT_AT, CONTENT_BYTES
from stream import PAGE
from tooltest import flip

CLUSTER = 64 << 10


class DeltaTest(DeltaFiles):
    def test_info(self):
        info = self.json("info", self.names["two"])
        self.schema.check(info, "FixedRamFileInfo")
        self.equal([layer["path"] for layer in info["layers"]],
                   ["delta-one", "delta-base"], "paths")
        self.equal([layer["id"] for layer in info["layers"]],
                   [self.json("info", self.names[n])["id"]
                    for n in ("one", "base")], "identities")
        sizes = [layer["size"] for layer in info["layers"]]
        self.true(0 < sizes[0] < 6 * CLUSTER < sizes[1], f"sizes {sizes}")
        chain = self.json("info", "--chain", self.names["two"])
        self.schema.check(chain, ["FixedRamFileInfo"])
        self.equal([each["filename"] for each in chain],
                   [str(self.names[n]) for n in ("two", "one", "base")],
                   "chain")
        text = self.tool("info", "--chain", self.names["two"])
        self.true("layer 2" in text and "layers:" in text, text)
        self.true("layers" not in self.json("info", self.names["base"]),
                  "a full snapshot has no layers")

    def test_content(self):
        for name, number in (("base", 0), ("one", 1), ("two", 2),
                             ("full-one", 1)):
            self.true(self.content(self.names[name]) == self.expect(number),
                      f"{name}: other content")
        self.tool("compare", self.names["one"], self.names["full-one"])
        self.tool("compare", "--quick", self.names["one"],
                  self.names["full-one"])
        differ = self.json("compare", self.names["base"], self.names["one"],
                           status=1)
        self.equal(sum(b["different-pages"] for b in differ["blocks"]),
                   len(FIRST), "pages that differ")

    def test_map(self):
        files = set()
        for entry in self.json("map", "-b", "pc.ram", self.names["two"]):
            files.add(entry.get("file"))
            if not entry["data"]:
                continue
            path = entry.get("file", self.names["two"])
            at = entry["start"] - CONTENT_AT
            if 0 <= at and at + entry["length"] <= CONTENT_BYTES:
                with open(path, "rb") as f:
                    f.seek(entry["offset"])
                    self.true(f.read(entry["length"]) ==
                              self.expect(2)[at:at + entry["length"]],
                              f"{entry}: other content")
        self.equal(files, {None, str(self.names["one"]),
                           str(self.names["base"])}, "files")

    def test_check_damage(self):
        two, one, base = self.folder_with("two", "one", "base")
        entry = next(e for e in self.json("map", two)
                     if e.get("file") == str(base))
        flip(base, entry["offset"] + 5)
        check = self.json("check", two, status=2)
        self.schema.check(check, "FixedRamCheckInfo")
        self.equal([(r["file"], r["offset"] // PAGE * PAGE)
                    for r in check["ranges"]],
                   [(str(base), entry["offset"] // PAGE * PAGE)], "ranges")
        self.true(str(base) in self.tool("check", two, status=2), "the file")
        # The delta in between does not need that page.
        self.tool("check", one, status=(0, 2))

    def test_check_layers(self):
        two, one, base = self.folder_with("two", "one", "base")
        base.unlink()
        for path in (one, two):
            text = self.tool("check", path, status=1)
            self.true("delta-base" in text and "No such file" in text, text)
        shutil.copyfile(self.names["full-one"], base)
        text = self.tool("check", two, status=1)
        self.true("another one" in text and "expected" in text, text)
        info = self.json("info", two)
        self.true("another one" in info["problem"], info)
        self.true("size" not in info["layers"][0], "size of an unknown layer")
        for command in (["map", two], ["extract", "-b", "pc.ram", two, "-"],
                        ["convert", two, self.path("out")],
                        ["merge", two, self.path("out")]):
            self.true("another one" in self.tool(*command, status=1),
                      f"{command}: another error")
        self.true(not self.path("out").exists(), "an output was left")

    def test_merge(self):
        out = self.path("delta-merged")
        for name, number in (("two", 2), ("one", 1)):
            self.tool("merge", self.names[name], out)
            self.tool("check", out)
            self.tool("compare", self.names[name], out)
            info = self.json("info", out)
            self.true("layers" not in info, "it has layers")
            self.equal(info["id"], self.json("info", self.names[name])["id"],
                       "identity")
            self.true(info["clean"], "it is not clean")
            self.true(self.content(out) == self.expect(number), "content")
        self.tool("compare", out, self.names["full-one"])
        self.load(out, 1, ["mapped-ram"])

    def test_merge_in_place(self):
        """What was merged takes the place of the delta in the next one"""
        two, one, base = self.folder_with("two", "one", "base")
        merged = self.path("delta-merged")
        self.tool("merge", one, merged)
        shutil.move(merged, one)
        self.tool("check", two)
        self.true(self.content(two) == self.expect(2), "content")
        base.unlink()
        self.tool("check", one)

    def test_merge_refused(self):
        out = self.path("delta-refused")
        text = self.tool("merge", self.names["base"], out, status=1)
        self.true("no delta" in text, text)
        self.true(not out.exists(), "an output was left")
        for name in ("one", "base"):
            text = self.tool("merge", self.names["one"], self.names[name],
                             status=1)
            self.true("cannot write" in text, text)
        text = self.tool("merge", self.names["one"], f"file:{out},offset=4096",
                         status=1)
        self.true("offset" in text, text)

    def test_convert(self):
        out = self.path("delta-converted")
        self.tool("convert", self.names["two"], out)
        self.tool("check", out)
        self.tool("compare", out, self.names["two"])
        self.true(self.content(out) == self.expect(2), "content")
