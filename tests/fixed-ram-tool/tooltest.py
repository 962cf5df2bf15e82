# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests share: the program, and the files that QEMU has saved."""

import fcntl
import json
import os
from pathlib import Path
import shutil
import struct
import subprocess
import unittest

from faults import Faults
from machine import CONTENT_AT, CONTENT_BYTES, Machine, make_content
from schema import Schema
from stream import SUPERBLOCK, write_large

LIMIT_S = 120
OFFSET = 20480 + 512        # where one of the streams begins
APPENDER = 1 << 62          # the byte that an appender locks
LARGE_PAGES = 96 * 1024     # 384 MiB, of which a third is zero
SOURCE = Path(__file__).resolve().parent.parent.parent


class ToolTest(unittest.TestCase):
    """run.py sets the folders; `folder` is removed after the last test"""

    build = folder = None
    made = {}               # files that all tests read, and none changes
    source = SOURCE

    @property
    def program(self):
        return self.build / "qemu-snapshot"

    @property
    def qemu(self):
        return self.build / "qemu-system-x86_64"

    def equal(self, got, expected, what):
        self.assertEqual(got, expected, what)

    def true(self, condition, what):
        self.assertTrue(condition, what)

    # ---- the program ----

    def tool(self, *words, status=0, env=None, **more):
        """What it prints; its exit status must be the one, or one of those"""
        done = subprocess.run(
            [str(self.program), *map(str, words)], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            check=False, timeout=LIMIT_S, errors="replace",
            env={**os.environ, "LC_ALL": "C.UTF-8", **(env or {})}, **more)
        self.true(done.returncode in (status if isinstance(status, tuple)
                                      else (status,)),
                  f"exit status {done.returncode}, expected {status}: "
                  f"{' '.join(map(str, words))}: {done.stdout[-500:]} "
                  f"{done.stderr[-500:]}")
        return done.stdout if status == 0 else done.stdout + done.stderr

    def json(self, command, *words, status=0, env=None):
        out = self.tool(command, "--output=json", *words, status=status,
                        env=env)
        return json.loads(out)

    @property
    def schema(self):
        return Schema(SOURCE / "qapi" / "fixed-ram.json")

    def failing_reads(self, path, error, **where):
        """(environment, driver) of a process whose reads of a file fail"""
        faults = Faults(self.path("faults"))
        self.addCleanup(faults.close)
        faults.target(path)
        faults.fail(error, **where)
        return faults.environment(self.build), faults

    # ---- files ----

    def path(self, name):
        return self.folder / name

    def copy(self, path, name):
        """A file that the test may damage"""
        return shutil.copyfile(path, self.path(name))

    def machine(self, content=None, qemu=None, **more):
        return Machine(qemu or self.qemu, self.folder, content, **more)

    def _once(self, name, make):
        if name not in self.made:
            self.made[name] = make()
        return self.made[name]

    @property
    def saved(self):
        """Equal machines, saved in all ways: kind -> what to call the file"""
        return self._once("saved", self._save)

    def _save(self):
        content = self.path("content")
        make_content(content)
        for name, capabilities, offset in (
                ("plain", [], 0), ("mapped", ["mapped-ram"], 0),
                ("mapped-offset", ["mapped-ram"], OFFSET),
                ("multifd", ["mapped-ram", "multifd"], 0),
                ("fixed", ["fixed-ram"], 0)):
            with self.machine(content) as vm:
                vm.read_memory(self.path("memory"), CONTENT_AT, CONTENT_BYTES)
                vm.save(self.path(name), capabilities, offset)
            self.true(self.path("memory").read_bytes() == content.read_bytes(),
                      "the machine's memory is not its content")
        return {"stream": self.path("plain"),
                "mapped-ram": self.path("mapped"),
                "offset": f"file:{self.path('mapped-offset')},offset={OFFSET}",
                "multifd": self.path("multifd"),
                "fixed-ram": self.path("fixed")}

    @property
    def converted(self):
        """Small, with an index that certainly is there"""
        return self._once("converted", self._convert)

    def _convert(self):
        self.tool("convert", self.saved["stream"], self.path("converted"))
        return self.path("converted")

    @property
    def large(self):
        return self._once("large", self._convert_large)

    def _convert_large(self):
        write_large(self.path("large.mig"), LARGE_PAGES, 1)
        self.tool("convert", self.path("large.mig"), self.path("large"))
        return self.path("large")

    # ---- what is in them ----

    def data_ranges(self, path):
        return [e for e in self.json("map", path) if e["data"]]

    def superblock_at(self, path):
        info = self.json("info", path)
        return info["blocks"][0]["offset"] - SUPERBLOCK


def read_at(path, offset, length):
    with open(path, "rb") as f:
        f.seek(offset)
        return f.read(length)


def write_at(path, offset, data):
    with open(path, "r+b") as f:
        f.seek(offset)
        f.write(data)


def flip(path, offset, bit=0):
    old = read_at(path, offset, 1)
    write_at(path, offset, bytes([old[0] ^ 1 << bit]))


def bitmap_at(path):
    """Where the header of the first block says that its bitmap is"""
    head = read_at(path, 0, 4096)
    at = head.index(b"\x06pc.ram", head.index(b"\x03ram")) + 7 + 8 + 4 + 8
    return int.from_bytes(head[at:at + 8], "big")


def set_bit(path, bitmap, bit):
    old = read_at(path, bitmap + bit // 8, 1)[0]
    write_at(path, bitmap + bit // 8, bytes([old | 1 << bit % 8]))


def lock(f, kind, start, length):
    """A lock of the open file description, as fixed-ram takes them"""
    fcntl.fcntl(f, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", kind, os.SEEK_SET,
                                                  start, length, 0))
