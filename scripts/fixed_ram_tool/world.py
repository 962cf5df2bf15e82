# SPDX-License-Identifier: GPL-2.0-or-later
"""What tests share: the program, and the files that QEMU has saved."""

import functools
import json
import os
import shutil
import subprocess

from fixed_ram.faults import Faults

from .schema import Schema
from .stream import SUPERBLOCK, write_large
from .tap import Wrong, equal
from .vm import CONTENT_AT, CONTENT_BYTES, Vm, make_content

LIMIT_S = 120
OFFSET = 20480 + 512        # where one of the streams begins
LARGE_PAGES = 96 * 1024     # 384 MiB, of which a third is zero


class World:
    """The folder goes with all files in it when the tests are over"""

    def __init__(self, build, folder):
        self.build, self.folder = build, folder
        self.program = build / "qemu-snapshot"
        self.qemu = build / "qemu-system-x86_64"
        self.source = build / "source"
        self.faults = None

    # ---- the program ----

    def run(self, *words, status=0, env=None, **more):
        """What it prints; its exit status must be the one expected"""
        done = subprocess.run(
            [str(self.program), *map(str, words)], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            check=False, timeout=LIMIT_S, errors="replace",
            env={**os.environ, "LC_ALL": "C.UTF-8", **(env or {})}, **more)
        if done.returncode != status:
            raise Wrong(f"{' '.join(map(str, words))}: exit status "
                        f"{done.returncode}, expected {status}: "
                        f"{done.stdout[-500:]} {done.stderr[-500:]}")
        return done.stdout if status == 0 else done.stdout + done.stderr

    def json(self, command, *words, status=0, env=None):
        out = self.run(command, "--output=json", *words, status=status,
                       env=env)
        return json.loads(out)

    @functools.cached_property
    def schema(self):
        return Schema(self.source / "qapi" / "fixed-ram.json")

    def with_faults(self, path, error, **where):
        """An environment in which reads of a file fail"""
        self.faults = self.faults or Faults(self.folder / "faults")
        self.faults.target(path)
        self.faults.fail(error, **where)
        return self.faults.environment(self.build)

    # ---- files ----

    def path(self, name):
        return self.folder / name

    def copy(self, path, name):
        """Of its own: a test may spoil it"""
        return shutil.copyfile(path, self.path(name))

    @functools.cached_property
    def saved(self):
        """Machines that are all alike, saved in all ways: what to call them"""
        content = self.path("content")
        make_content(content)
        for name, capabilities, offset in (
                ("plain", [], 0), ("mapped", ["mapped-ram"], 0),
                ("mapped-offset", ["mapped-ram"], OFFSET),
                ("multifd", ["mapped-ram", "multifd"], 0),
                ("fixed", ["fixed-ram"], 0)):
            with Vm(self.qemu, content) as vm:
                vm.read_memory(self.path("memory"), CONTENT_AT, CONTENT_BYTES)
                vm.save(self.path(name), capabilities, offset)
            equal(self.path("memory").read_bytes(), content.read_bytes(),
                  "the machine's memory")
        return {"stream": self.path("plain"),
                "mapped-ram": self.path("mapped"),
                "offset": f"file:{self.path('mapped-offset')},offset={OFFSET}",
                "multifd": self.path("multifd"),
                "fixed-ram": self.path("fixed")}

    @functools.cached_property
    def converted(self):
        """Small, with an index that certainly is there"""
        self.run("convert", self.saved["stream"], self.path("converted"))
        return self.path("converted")

    @functools.cached_property
    def large(self):
        write_large(self.path("large.mig"), LARGE_PAGES, 1)
        self.run("convert", self.path("large.mig"), self.path("large"))
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
