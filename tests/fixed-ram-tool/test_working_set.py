# SPDX-License-Identifier: GPL-2.0-or-later
"""qemu-snapshot working-set.

The first set is written here, from docs/interop/fixed-ram.rst: no command makes
one out of nothing.
"""

import ctypes
import fcntl
import os
import struct

from stream import PAGE
from tooltest import APPENDER, OFFSET, ToolTest, flip, lock, read_at, write_at

RECORDED, GUESSED, TIME = 1, 2, 1700001000
SET_TYPE = 6
# Touched in this order: (first page, pages) of pc.ram, behind its content's
# first page.  Every fifth page of the content is zero.
TOUCHES = ((40, 3), (7, 1), (100, 60), (3, 2))


def xxh3(data):
    """None if the library is not there"""
    try:
        library = ctypes.CDLL("libxxhash.so.0")
    except OSError:
        return None
    library.XXH3_64bits.restype = ctypes.c_uint64
    library.XXH3_64bits.argtypes = ctypes.c_char_p, ctypes.c_size_t
    return library.XXH3_64bits(data, len(data))


def crc32c(data):
    reg = 0xffffffff
    for byte in data:
        reg ^= byte
        for _ in range(8):
            reg = reg >> 1 ^ (0x82f63b78 if reg & 1 else 0)
    return reg ^ 0xffffffff


class WorkingSetTest(ToolTest):
    def snapshot(self, name):
        """A copy of a snapshot, and its data ranges"""
        return self.copy(self.converted, name)

    def index_of(self, path):
        """(superblock's offset, index's offset, its bytes)"""
        at = self.superblock_at(path)
        sb = read_at(path, at, 4096)
        offset, length = struct.unpack_from("<QQ", sb, 48)
        return at, offset, read_at(path, offset, length)

    def put_index(self, path, index):
        """Append this index, and make the superblock refer to it"""
        at = self.superblock_at(path)
        offset = -(-os.stat(path).st_size // 4096) * 4096
        write_at(path, offset, index)
        sb = bytearray(read_at(path, at, 4096))
        struct.pack_into("<QQI", sb, 48, offset, len(index), crc32c(index))
        struct.pack_into("<I", sb, 4092, crc32c(sb[:4092]))
        write_at(path, at, bytes(sb))

    def set_section(self, path):
        """The fields of the set, and where they lie in the file"""
        _, offset, index = self.index_of(path)
        at = 32
        while at < len(index):
            kind, _, length = struct.unpack_from("<IIQ", index, at)
            if kind == SET_TYPE:
                return struct.unpack_from("<IIQQQQQQQ", index, at + 16), \
                    offset + at + 16
            at += 16 + -(-length // 8) * 8
        return None

    def with_bad_set(self, name):
        """A snapshot with a section that is too short for a set"""
        path = self.snapshot(name)
        _, _, index = self.index_of(path)
        count = struct.unpack_from("<I", index, 12)[0]
        index = index[:12] + struct.pack("<I", count + 1) + index[16:] + \
            struct.pack("<IIQ8x", SET_TYPE, 0, 8)
        self.put_index(path, index)
        return path

    def pages(self, path):
        """(number in pc.ram, has data) of each page, in order of first touch"""
        data = set()
        for entry in self.data_ranges(path):
            if entry["block"] == "pc.ram":
                first = entry["start"] // PAGE
                data.update(range(first, first + entry["length"] // PAGE))
        base = min(data)
        return [(page, page in data) for first, count in TOUCHES
                for page in range(base + first, base + first + count)]

    def with_set(self, name, kind=RECORDED):
        """A snapshot with a set and no packed copy, and the pages of its set"""
        path = self.snapshot(name)
        pages = self.pages(path)
        runs = b"".join(struct.pack("<HHIQ", 0, data, 1, page)
                        for page, data in pages)
        if xxh3(runs) is None:
            self.skipTest("there is no libxxhash.so.0")
        at = -(-os.stat(path).st_size // 8) * 8
        write_at(path, at, runs)
        _, _, index = self.index_of(path)
        count = struct.unpack_from("<I", index, 12)[0]
        fields = struct.pack("<IIQQQQQQQ", kind, 0, TIME, len(pages),
                             len(pages), at, xxh3(runs), 0, 0)
        self.put_index(path, index[:12] + struct.pack("<I", count + 1) +
                       index[16:] + struct.pack("<IIQ", SET_TYPE, 0, 64) +
                       fields)
        return path, pages

    def packed(self, name):
        path, pages = self.with_set(name)
        self.tool("working-set", "pack", path)
        return path, pages

    def content(self, path, page):
        entry = next(b for b in self.json("info", path)["blocks"]
                     if b["name"] == "pc.ram")
        return read_at(path, entry["offset"] + page * PAGE, PAGE)

    def expect_set(self, path, pages, packed):
        """The set has these pages in this order, and their content packed"""
        show = self.json("working-set", "show", path)
        self.schema.check(show, "FixedRamWorkingSetInfo")
        found = [(page, r["data"]) for r in show["ranges"]
                 for page in range(r["start"] // PAGE,
                                   (r["start"] + r["length"]) // PAGE)]
        self.equal(found, pages, "pages")
        data = [page for page, has_data in pages if has_data]
        self.equal((show["kind"], show["time"], show["pages"],
                    show["data-pages"]),
                   ("recorded", TIME, len(pages), len(data)), "figures")
        self.equal(show["packed-size"], packed * len(data) * PAGE, "copy")
        fields, _ = self.set_section(path)
        for n, page in enumerate(data if packed else ()):
            self.true(read_at(path, fields[7] + n * PAGE, PAGE) ==
                      self.content(path, page), f"page {page} is not packed")
        self.equal(self.json("check", path)["result"], "good", "check")

    def run_set(self, *words, status=0):
        return self.tool("working-set", *words, status=status)

    def test_show(self):
        path, pages = self.with_set("show")
        self.expect_set(path, pages, False)
        info = self.json("info", path)
        self.schema.check(info, "FixedRamFileInfo")
        self.equal(info["working-set"],
                   {"kind": "recorded", "time": TIME, "pages": len(pages),
                    "packed-size": 0}, "info")
        self.true("working set: recorded, " in self.tool("info", path), "info")
        text = self.tool("working-set", "show", "--ascii", path)
        for words in ("kind: recorded", f"pages: {len(pages)} in ",
                      "packed copy: none", "2023-11-14 22:30:00 UTC",
                      f"pc.ram: {len(pages)} pages of the set"):
            self.true(words in text, f"{words}: {text}")
        rows = text[text.index("pc.ram:"):]
        self.true("0" in rows and "." in rows, rows)

    def test_guessed(self):
        """A set stays what it is when a command writes it again"""
        path, _ = self.with_set("guessed", GUESSED)
        self.true("kind: guessed" in self.run_set("show", path), "show")
        self.run_set("pack", path)
        copy = self.snapshot("guessed-copy")
        self.run_set("copy-from", path, copy)
        for file in path, copy:
            self.equal(self.json("working-set", "show", file)["kind"],
                       "guessed", file)
        self.run_set("drop", path)
        self.true("working-set" not in self.json("info", path), "drop")

    def test_pack(self):
        path, pages = self.packed("pack")
        self.expect_set(path, pages, True)
        self.run_set("pack", "--no-pack", path)
        self.expect_set(path, pages, False)
        self.run_set("pack", path)
        self.run_set("pack", path)
        self.expect_set(path, pages, True)
        for key in ("id", "machine", "blocks"):
            self.equal(self.json("info", path)[key],
                       self.json("info", self.converted)[key], key)
        self.tool("compare", path, self.converted)

    def test_drop(self):
        path, _ = self.packed("drop")
        self.run_set("drop", path)
        self.true("working-set" not in self.json("info", path), "info")
        self.equal(self.json("check", path)["result"], "good", "check")
        self.tool("compare", path, self.converted)

    def test_bounded(self):
        """However often it is packed, the file does not grow without bound"""
        path, pages = self.packed("bounded")
        self.run_set("pack", path)
        size = os.stat(path).st_size
        for _ in range(6):
            self.run_set("pack", path)
            self.true(os.stat(path).st_size <= size + (1 << 20), "size")
        self.expect_set(path, pages, True)

    def test_copy_from(self):
        path, pages = self.with_set("from")
        for n, option in enumerate((["--no-pack"], [])):
            other = self.path(f"to-{n}")
            other.unlink(missing_ok=True)
            self.tool("convert", self.saved["stream"], other)
            self.run_set("copy-from", *option, path, other)
            self.expect_set(other, pages, not option)
        said = self.run_set("copy-from", path, self.saved["mapped-ram"],
                            status=1)
        self.true("saved without fixed-ram" in said, said)

    def test_convert(self):
        path, pages = self.packed("convert-set")
        for n, out in enumerate(("plain-copy", f"file:{self.path('at')},"
                                 f"offset={OFFSET}")):
            name = out if n else self.path(out)
            self.tool("convert", path, name)
            show = self.json("working-set", "show", name)
            self.equal((show["pages"], show["packed-size"] > 0),
                       (len(pages), True), f"{name}")
            self.tool("check", name)
        self.expect_set(self.path("plain-copy"), pages, True)

    def test_damage(self):
        """In the copy, in the list, in a page that both have"""
        path, pages = self.packed("damage")
        fields, _ = self.set_section(path)
        for at, words in ((fields[7] + 5, "packed copy is damaged"),
                          (fields[5] + 4, "the list has checksum")):
            flip(path, at)
            check = self.json("check", path, status=2)
            self.equal((check["result"], check["corrupt"]), ("corrupt", 0),
                       words)
            self.true(words in check["problem"], check["problem"])
            flip(path, at)
        self.expect_set(path, pages, True)
        # A run that calls a page with data zero, with a right checksum
        bare, _ = self.with_set("bare")
        fields, at = self.set_section(bare)
        flip(bare, fields[5] + 2)
        runs = read_at(bare, fields[5], 16 * fields[4])
        write_at(bare, at + 40, struct.pack("<Q", xxh3(runs)))
        _, _, index = self.index_of(bare)
        self.put_index(bare, index)
        said = self.tool("check", bare, status=2)
        self.true("the bitmap says" in said, said)

    def test_damaged_page(self):
        """Nothing is packed that is not what was saved"""
        path, pages = self.with_set("damaged-page")
        ram = next(b for b in self.json("info", path)["blocks"]
                   if b["name"] == "pc.ram")
        flip(path, ram["offset"] + pages[0][0] * PAGE + 9)
        before = path.read_bytes()
        said = self.run_set("pack", path, status=1)
        self.true("is not what was saved" in said, said)
        self.true(path.read_bytes() == before, "the file has changed")

    def test_in_use(self):
        """Beside a load it works; beside a save or another change it does not"""
        path, pages = self.packed("in-use-set")
        with open(path, "r+b") as f:
            lock(f, fcntl.F_RDLCK, 0, APPENDER)
            self.run_set("pack", path)
        with open(path, "r+b") as f:
            lock(f, fcntl.F_WRLCK, APPENDER, 1)
            said = self.run_set("pack", path, status=1)
            self.true("cannot be changed, it is being written" in said, said)
        with open(path, "r+b") as f:
            lock(f, fcntl.F_WRLCK, 0, 0)
            said = self.run_set("drop", path, status=1)
            self.true("it is being written" in said, said)
        self.expect_set(path, pages, True)

    def test_loads(self):
        """QEMU loads it as before, and so does one without fixed-ram"""
        path, _ = self.packed("loads")
        stock = os.environ.get("QTEST_QEMU_STOCK")
        loads = [(None, ["fixed-ram"]), (None, ["mapped-ram"])]
        if stock:
            loads.append((stock, ["mapped-ram"]))
        for qemu, names in loads:
            with self.machine(qemu=qemu) as vm:
                vm.load(path, names)

    def test_none(self):
        path = self.snapshot("without-set")
        for words in (("show", path), ("drop", path), ("pack", path),
                      ("copy-from", path, self.snapshot("other"))):
            said = self.tool("working-set", *words, status=1)
            self.true("has no working set" in said, f"{words}: {said}")
        self.true("working-set" not in self.json("info", path), "info")

    def test_other_kinds(self):
        for kind in ("stream", "mapped-ram"):
            before = self.saved[kind].read_bytes()
            for words in (("show",), ("drop",), ("pack",)):
                said = self.tool("working-set", *words, self.saved[kind],
                                 status=1)
                self.true("snapshot" in said, f"{kind}: {said}")
            self.true(self.saved[kind].read_bytes() == before, "unchanged")

    def test_bad_set(self):
        """It is ignored, said, called corrupt, and can be dropped"""
        path = self.with_bad_set("bad-set")
        info = self.json("info", path)
        self.true(info["complete"] and "working-set" not in info, info)
        self.true("damaged" in info["working-set-problem"], info)
        self.true("working set: " in self.tool("info", path), "for people")
        check = self.json("check", path, status=2)
        self.schema.check(check, "FixedRamCheckInfo")
        self.equal(check["result"], "corrupt", "check")
        self.equal(check["corrupt"], 0, "RAM is good")
        self.tool("working-set", "drop", path)
        self.equal(self.json("check", path)["result"], "good", "dropped")
        self.equal(self.json("info", path)["id"],
                   self.json("info", self.converted)["id"], "identity")
