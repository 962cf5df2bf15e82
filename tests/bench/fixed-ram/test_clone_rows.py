#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests the section "clones" of scripts/bench; speaks TAP.

Reports are made up here; what is read of a page table is that of this process.
"""

import ctypes
import mmap
import os
from pathlib import Path
import sys
import tempfile
import unittest

TOP = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(TOP / "scripts"), str(TOP / "tests" / "fixed-ram-tool")]

# pylint: disable=wrong-import-position
from fixed_ram import hugepages, pagemap, procfs            # noqa: E402
from fixed_ram_bench import (figures, tables, targets,      # noqa: E402
                             whichmode)
from fixed_ram_bench.modes import (BACK, CLONES_AT_WORK,    # noqa: E402
                                   HERDS)
from tap import run_main_module                             # noqa: E402

PAGE = pagemap.PAGE


def measured(**values):
    return {"runs": [{"round": 0, **values}],
            "summary": {key: {"median": value}
                        for key, value in values.items()
                        if value is not None}}


def section(**changes):
    """Each figure is right at its target; changes: (part, name) -> figures"""
    data = {
        "sizes": {"1024": measured(running_ms=10),
                  "8192": measured(running_ms=15),
                  "16384": measured(running_ms=13)},
        "herd": {"modes": {
            "mapped": measured(output_ms=250, clones=16, read_mib=120,
                               further_mib=6, written_mib=5, own_mib=34),
            "mapped-no-set": measured(touched_mib=100),
            "on-demand": measured(output_ms=1000, pss_mib=400)}},
        "work": {"modes": {
            "fixed-ram-direct": measured(full_rate=1000, full_ms=1000),
            "fixed-ram-small-pages": measured(full_rate=800),
            "mapped-warm": measured(full_rate=900),
            "mapped-set": measured(full_ms=200)}},
        "rollback": {"modes": {
            "rollback": measured(back_ms=10),
            "loadvm": measured(back_ms=200)}}}
    for path, values in changes.items():
        part, name = path.split("__")
        modes = data[part].get("modes", data[part])
        old = modes[name.replace("_", "-")]["runs"][0]
        modes[name.replace("_", "-")] = measured(**{**old, **values})
    return {"clones": data}


def row_of(number, report, filling="contiguous"):
    return targets.evaluate(report)[number - 1][filling]


class Rows(unittest.TestCase):
    def test_numbers(self):
        rows = targets.evaluate({})
        self.assertIn("mapped load to RESUME", rows[29]["what"])
        self.assertIn("with a set, cold", rows[33]["what"])
        self.assertIn("rollback", rows[34]["what"])

    def test_at_their_targets(self):
        for number in range(30, 36):
            self.assertIs(row_of(number, section())["holds"], True, number)

    def test_just_beyond(self):
        for number, changes in (
                (30, {"sizes__8192": {"running_ms": 15.1}}),
                (30, {"sizes__16384": {"running_ms": 13.1}}),
                (31, {"herd__mapped": {"output_ms": 251}}),
                (31, {"herd__mapped": {"read_mib": 121}}),
                (32, {"herd__mapped": {"further_mib": 6.1}}),
                (32, {"herd__on_demand": {"pss_mib": 399}}),
                (33, {"work__mapped_warm": {"full_rate": 899}}),
                (34, {"work__mapped_set": {"full_ms": 201}}),
                (34, {"work__mapped_set": {"full_ms": None}}),
                (35, {"rollback__rollback": {"back_ms": 10.1},
                      "rollback__loadvm": {"back_ms": 300}}),
                (35, {"rollback__loadvm": {"back_ms": 199}})):
            row = row_of(number, section(**changes))
            self.assertIs(row["holds"], False, (number, changes))

    def test_what_is_told_beside_them(self):
        self.assertIn("16 clones", row_of(31, section())["text"])
        self.assertIn("34 of QEMU's own", row_of(32, section())["text"])
        self.assertIn("huge pages bring an eager load 1.25 times",
                      row_of(33, section())["text"])
        never = section(work__mapped_set={"full_ms": None})
        self.assertIn("never", row_of(34, never)["text"])
        self.assertEqual("10.0 ms, 20 times sooner",
                         row_of(35, section())["text"])

    def test_not_measured(self):
        for number in range(30, 36):
            self.assertIsNone(row_of(number, {}))
            self.assertIsNone(row_of(number, section(), "fragmented"))


class Figures(unittest.TestCase):
    @staticmethod
    def whole():
        def of(declared):
            return measured(**{figure.key: 1 for figure in declared},
                            verified=True)

        return {"clones": {
            "sizes": {size: of(figures.ROUND_FIGURES)
                      for size in ("1024", "8192")},
            "herd": {"modes": {name: of(figures.HERD_FIGURES)
                               for name in HERDS}},
            "work": {"modes": {name: of(figures.CLONE_WORK_FIGURES)
                               for name in CLONES_AT_WORK}},
            "rollback": {"modes": {name: of(figures.BACK_FIGURES)
                                   for name in BACK}}}}

    def test_missing(self):
        report = self.whole()
        self.assertEqual(figures.missing(report, "clones"), [])
        herd = report["clones"]["herd"]["modes"]
        herd["mapped"]["runs"][0].pop("read_mib")
        herd["on-demand"]["runs"][0]["verified"] = False
        self.assertEqual(figures.missing(report, "clones"),
                         ["herd mapped: no read_mib",
                          "herd on-demand: not verified"])
        self.assertTrue(figures.missing({"clones": {}}, "clones"))

    def test_tables(self):
        text = "\n".join(tables.clone_tables(self.whole()))
        for words in ("1 GiB 1.0, 8 GiB 1.0", "mapped-no-set", "small-pages"):
            self.assertIn(words, text)
        self.assertEqual(list(tables.clone_tables({})), [])


class WhichMode(unittest.TestCase):
    def test_table(self):
        report = {**Figures.whole(),
                  "guest": {"memory_mib": 8192, "fill_mib": 7168}}
        herd = report["clones"]["herd"]["modes"]
        herd["mapped"]["summary"]["clones"] = {"median": 16}
        herd["mapped"]["summary"]["pss_mib"] = {"median": 40.4}
        del report["clones"]["work"]["modes"]["on-demand"]["summary"]["full_ms"]
        lines = list(whichmode.table(report))
        self.assertIn("8,192 MiB of RAM", lines[0])
        self.assertIn("   * - 16 guests at once", "\n".join(lines))
        self.assertEqual(lines[-1], "     - 40 MiB")
        at = next(n for n, line in enumerate(lines) if "full rate" in line)
        self.assertEqual(lines[at + 1:at + 4],
                         ["     - 1 ms", "     - –", "     - 1 ms"])
        self.assertEqual(list(whichmode.table({})), [])


class PageTable(unittest.TestCase):
    """Of this process"""

    def setUp(self):
        self.file = tempfile.NamedTemporaryFile()
        self.addCleanup(self.file.close)
        self.file.write(b"x" * 64 * PAGE)
        self.file.flush()
        self.memory = mmap.mmap(self.file.fileno(), 32 * PAGE,
                                mmap.MAP_PRIVATE,
                                mmap.PROT_READ | mmap.PROT_WRITE,
                                offset=16 * PAGE)
        self.memory.madvise(mmap.MADV_RANDOM)
        buffer = ctypes.c_char.from_buffer(self.memory)
        self.start = ctypes.addressof(buffer)
        del buffer
        self.addCleanup(self.memory.close)

    def written(self):
        return pagemap.written(os.getpid(), self.file.name, self.start,
                               self.start + 32 * PAGE)

    def test_ranges(self):
        self.assertEqual(
            pagemap.file_ranges(os.getpid(), self.file.name),
            [(self.start, self.start + 32 * PAGE, 16 * PAGE)])

    def test_touched_and_written(self):
        self.assertEqual(self.written(), 0)
        before = pagemap.touched(os.getpid(), self.file.name)
        self.memory[3 * PAGE] = 1
        pages = pagemap.touched(os.getpid(), self.file.name)
        self.assertEqual(pages.to_bytes(64, "little")[19], 1)
        self.assertEqual(before | pages, pages)
        self.assertEqual(self.written(), 1)

    def test_beside(self):
        self.assertEqual(
            pagemap.cached_beside(os.getpid(), self.file.name), 32)

    def test_shares(self):
        self.memory[5 * PAGE] = 1
        memory = procfs.memory(os.getpid(), self.start,
                               self.start + 32 * PAGE)
        self.assertGreaterEqual(memory.share, PAGE // 1024)
        self.assertGreaterEqual(memory.inside, memory.share)
        self.assertGreater(memory.share_outside, 0)

    def test_small_pages(self):
        status = Path("/proc/self/status")
        with hugepages.without_huge_pages():
            self.assertIn("THP_enabled:\t0", status.read_text())
        self.assertIn("THP_enabled:\t1", status.read_text())


if __name__ == "__main__":
    sys.exit(run_main_module("bench-clones"))
