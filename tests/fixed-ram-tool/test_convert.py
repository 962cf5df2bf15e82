# SPDX-License-Identifier: GPL-2.0-or-later
"""qemu-snapshot convert."""

import errno
import fcntl
import os
import resource
import signal
import struct
import subprocess
from unittest import mock

from qemu.qmp import ExecuteError

from machine import CONTENT_AT
from stream import (CONTINUE, FULL, PAGE, ZERO, beginning, ending, record)
from tooltest import OFFSET, ToolTest, bitmap_at, flip, read_at, set_bit

# Where converted streams of stream.beginning() have their bitmap, and say so
CAPABILITIES = 1 + 1 + len("configuration/capabilities") + 4 + 4 + 1 + \
    len("mapped-ram")
BITMAP_FIELD = len(beginning("pc.ram", PAGE)) - 8 - 5 - 5 + CAPABILITIES + 12
BITMAP_AT = BITMAP_FIELD + 16

LOADS = {
    "mapped-ram": ["mapped-ram"],
    "eager": ["fixed-ram"],
    "demand": ["fixed-ram", "postcopy-ram"],
}


class ConvertTest(ToolTest):
    def convert(self, kind, *options):
        out = self.path(f"from-{kind}")
        out.unlink(missing_ok=True)
        self.tool("convert", *options, self.saved[kind], out)
        return out

    def test_content(self):
        for kind, path in self.saved.items():
            out = self.convert(kind)
            self.tool("compare", path, out)
            self.tool("check", out)
            info = self.json("info", out)
            self.equal((info["kind"], info["complete"]), ("fixed-ram", True),
                       kind)
            self.equal([d["name"] for d in info["devices"]],
                       [d["name"] for d in self.json("info", path)["devices"]],
                       f"{kind}: devices")
            self.true("mapped-ram" in info["capabilities"], "capabilities")

    def test_live(self):
        """What is sent last about a page counts; what is not sent is zero"""
        first, second = os.urandom(PAGE), os.urandom(PAGE)
        path, out, raw = map(self.path, ("live", "from-live", "raw"))
        path.write_bytes(beginning("pc.ram", 6 * PAGE) + b"".join((
            record(0, FULL, first), record(1, FULL | CONTINUE, first),
            record(2, ZERO | CONTINUE, b"\0"),
            record(3, FULL | CONTINUE, bytes(PAGE)),
            record(0, FULL | CONTINUE, second),
            record(1, ZERO | CONTINUE, b"\0"),
            record(2, FULL | CONTINUE, second))) + ending())
        self.tool("convert", path, out)
        self.tool("check", out)
        self.equal(self.json("info", out)["blocks"][0]["data-pages"], 2,
                   "data pages")
        for name in (path, out):
            self.tool("extract", "-b", "pc.ram", name, raw)
            self.true(raw.read_bytes() == second + bytes(PAGE) + second +
                      bytes(3 * PAGE), f"{name}: other content")

    def test_bitmap_size(self):
        """Bitmaps that end just before pages could begin: 32 GiB, all zero"""
        path, out = self.path("huge.mig"), self.path("huge")
        mib = 1 << 20
        for left, expected in ((4096 + 64, mib), (4096 - 64, 2 * mib),
                               (8, 2 * mib)):
            bitmap = (mib - left - BITMAP_AT) // 8 * 8
            path.write_bytes(beginning("pc.ram", bitmap * 8 * PAGE) + ending())
            self.tool("convert", path, out)
            info = self.json("info", out)
            self.equal(info.get("problem"), None,
                       f"{left} bytes left: problem")
            self.equal(info["blocks"][0]["offset"], expected,
                       f"{left} bytes left")
            self.equal(int.from_bytes(read_at(out, BITMAP_FIELD, 8), "big"),
                       BITMAP_AT,
                       "the test itself: the bitmap's place")
            self.tool("check", out)
        out.unlink()

    def test_identity(self):
        """A copy with equal pages at the same places has the same identity"""
        ids = [self.json("info", self.convert(kind))["id"]
               for kind in ("stream", "stream", "mapped-ram")]
        self.equal(len(set(ids)), 3, "different ids")
        path = self.saved["fixed-ram"]
        before = self.json("info", path)
        after = self.json("info", self.convert("fixed-ram"))
        for key in ("id", "machine", "blocks", "devices"):
            self.equal(after[key], before[key], key)
        sparse = self.json("info", self.convert("fixed-ram", "--sparse"))
        out = self.path("moved")
        self.tool("convert", path, f"file:{out},offset=3M")
        moved = self.json("info", f"file:{out},offset=3M")
        self.equal(len({i["id"] for i in (before, sparse, moved)}), 3,
                   "different ids")
        self.tool("check", f"file:{out},offset=3M")
        self.equal(moved["machine"], before["machine"], "machine")

    def test_recover(self):
        """A paused load goes on with a copy, and with no other conversion"""
        path = self.copy(self.saved["fixed-ram"], "paused")
        moved = f"file:{self.path('moved')},offset=3M"
        self.tool("convert", path, moved)
        other = f"file:{self.convert('fixed-ram', '--sparse')}", moved
        env, faults = self.failing_reads(path, errno.EIO)
        faults.hang(first=self.data_ranges(path)[0]["offset"], length=PAGE)
        with mock.patch.dict(os.environ, env), self.machine() as vm:
            vm.switch(LOADS["demand"], True)
            try:
                vm.cmd("migrate-incoming", uri=f"file:{path}")
            except ExecuteError as e:
                self.skipTest(str(e))
            if vm.wait_for("postcopy-active", "completed") == "completed":
                self.skipTest("reads cannot be made to hang here")
            vm.cmd("migrate-pause")
            for uri in other:
                vm.cmd("migrate-recover", uri=uri)
                vm.wait_for("postcopy-paused")
                self.assertRegex(vm.cmd("query-migrate")["error-desc"],
                                 "identit|offset")
            copy = self.path("copy")
            self.tool("convert", self.saved["fixed-ram"], copy)
            vm.cmd("migrate-recover", uri=f"file:{copy}")
            vm.wait_for("completed")
            vm.switch(reversed(LOADS["demand"]), False)
            vm.save(self.path("again"), ["mapped-ram"])
        self.tool("compare", copy, self.path("again"))

    def test_offset(self):
        out = self.path("behind")
        before = os.urandom(OFFSET)
        out.write_bytes(before + bytes(100))
        self.tool("convert", "-p", self.saved["offset"],
                  f"file:{out},offset={OFFSET}")
        self.true(read_at(out, 0, OFFSET) == before,
                  "what was before it has changed")
        self.tool("check", f"--offset={OFFSET}", out)
        self.tool("compare", self.saved["stream"],
                  f"file:{out},offset={OFFSET}")

    def test_sparse(self):
        """A page of zeros that the file pretends to have data for"""
        path = self.copy(self.saved["mapped-ram"], "pretends")
        set_bit(path, bitmap_at(path), CONTENT_AT // PAGE + 4)
        pages = [self.json("info", name)["blocks"][0]["data-pages"]
                 for name in (self.saved["mapped-ram"], path)]
        self.equal(pages[1], pages[0] + 1, "the test itself")
        out = self.path("sparse")
        for options, expected in (([], pages[1]), (["--sparse"], pages[0])):
            self.tool("convert", *options, path, out)
            got = self.json("info", out)["blocks"][0]["data-pages"]
            self.equal(got, expected, f"data pages with {options}")
            self.tool("check", out)
            self.tool("compare", path, out)

    def load_and_compare(self, qemu, path, capabilities):
        again = self.path("again")
        with self.machine(qemu=qemu) as vm:
            vm.load(path, capabilities)
            vm.save(again, ["mapped-ram"])
        self.tool("compare", path, again)

    def test_load(self):
        """What was converted is loaded in all ways, and nothing is lost"""
        for kind in ("stream", "mapped-ram", "fixed-ram"):
            path = self.convert(kind)
            for name, capabilities in LOADS.items():
                try:
                    self.load_and_compare(self.qemu, path, capabilities)
                except ExecuteError as e:
                    if name == "demand" and "userfaultfd" in str(e):
                        self.skipTest("no userfaultfd here")
                    raise

    def test_background(self):
        """A stream that was saved with background-snapshot"""
        path, out = self.path("background"), self.path("from-background")
        with self.machine(self.saved and self.path("memory")) as vm:
            vm.cmd("cont")
            try:
                vm.save(path, ["background-snapshot"])
            except ExecuteError as e:
                self.skipTest(str(e))
        self.tool("check", path, status=3)
        self.tool("convert", path, out)
        self.tool("check", out)
        self.tool("compare", path, out)
        self.load_and_compare(self.qemu, out, ["fixed-ram"])

    def test_load_stock(self):
        stock = os.environ.get("QTEST_QEMU_STOCK")
        if not stock:
            self.skipTest("QTEST_QEMU_STOCK names no QEMU without fixed-ram")
        for kind in ("stream", "fixed-ram"):
            self.load_and_compare(stock, self.convert(kind), ["mapped-ram"])

    def test_refused(self):
        out = self.path("refused")
        stream = beginning("pc.ram", 4 * PAGE)
        for flags, word in ((0x200, "multifd"), (0x40, "xbzrle"),
                            (0x100, "compress"), (0x80, "RDMA"),
                            (0x400, "flags")):
            bad = self.path("bad")
            bad.write_bytes(stream + record(0, flags | FULL, bytes(PAGE)))
            said = self.tool("convert", bad, out, status=1)
            self.true(word in said, said)
            self.true(not out.exists(), f"{word}: a file is left")

    def test_damaged(self):
        """Damage does not get checksums of its own"""
        path = self.copy(self.converted, "damaged")
        out = self.path("from-damaged")
        flip(path, self.data_ranges(path)[3]["offset"] + 5)
        said = self.tool("convert", path, out, status=1)
        self.true("damaged" in said and not out.exists(), said)
        self.tool("extract", "-b", "pc.ram", path, out, status=1)
        self.tool("extract", "--force", "-b", "pc.ram", path, out, status=2)

    def test_locks(self):
        path = self.copy(self.converted, "locked")
        before = path.read_bytes()
        said = self.tool("convert", path, path, status=1)
        self.true("is read" in said, said)
        lock = struct.pack("hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
        with open(path, "r+b") as f:
            fcntl.fcntl(f, fcntl.F_OFD_SETLK, lock)
            said = self.tool("convert", self.saved["stream"], path, status=1)
            self.true("has locked it" in said, said)
            self.tool("check", path)
        with open(path, "r+b") as f:
            fcntl.fcntl(f, fcntl.F_OFD_SETLK, struct.pack(
                "hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
            said = self.tool("info", path, status=1)
            self.true("being written" in said, said)
        self.true(path.read_bytes() == before, "it was written to")

    def test_fails(self):
        """A disk that is full at the end, and a process that ends there"""
        limit = os.stat(self.converted).st_size - 100

        def no_more(handler):
            def prepare():
                signal.signal(signal.SIGXFSZ, handler)
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            return prepare

        out = self.path("half-written")
        self.tool("convert", self.saved["stream"], out, status=1,
                  preexec_fn=no_more(signal.SIG_IGN))
        self.true(not out.exists(), "a file is left")
        self.tool("convert", self.saved["stream"], out, status=-signal.SIGXFSZ,
                  preexec_fn=no_more(signal.SIG_DFL))
        self.equal(self.json("info", out)["complete"], False, "complete")
        self.true("incomplete" in self.tool("check", out, status=2), "check")
        # a file that was there before stays, and is no snapshot any more
        self.tool("convert", self.saved["stream"], out, status=1,
                  preexec_fn=no_more(signal.SIG_IGN))
        self.tool("check", out, status=2)
        with self.machine() as vm:
            try:
                vm.load(out, ["fixed-ram"])
            except ExecuteError:
                return
        self.true(False, "an incomplete snapshot was loaded")

    def test_output(self):
        """Output to a full disk is an error"""
        with open("/dev/full", "wb") as full:
            done = subprocess.run([self.program, "info", self.converted],
                                  stdout=full, stderr=subprocess.PIPE,
                                  check=False)
        self.equal(done.returncode, 1, "exit status")
