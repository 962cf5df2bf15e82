#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests the section "deltas" of scripts/bench, without QEMU; speaks TAP.

Reports and lines of guests are made up here.
"""

import os
from pathlib import Path
import sys
import tempfile
import unittest

TOP = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(TOP / "scripts"), str(TOP / "tests" / "fixed-ram-tool")]

# pylint: disable=wrong-import-position
from fixed_ram import procfs                                # noqa: E402
from fixed_ram_bench import (changes, deltas, figures,      # noqa: E402
                             pace, tables, targets)
from fixed_ram_bench.modes import LIVE                      # noqa: E402
from fixed_ram_bench.plan import FULL, QUICK, Plan          # noqa: E402
from fixed_ram.qmp import QMPError                          # noqa: E402
from tap import run_main_module                             # noqa: E402

MIB = 2**20
REASON = {"skipped": "this QEMU refuses it: migrate: no"}
NUMBERS = range(40, 48)


def measured(**values):
    return {"runs": [{"round": 0, **values}],
            "summary": {key: {"median": value}
                        for key, value in values.items()}}


def live(stop_ms):
    return {"modes": {
        "stopped": measured(saved_ms=6000, written_bytes=1000),
        "light": measured(saved_ms=9600, written_bytes=1020, stop_ms=stop_ms,
                          rate_share=0.9, busy_share=0.99),
        "writer": measured(saved_ms=9600, written_bytes=1020,
                           stop_ms=stop_ms, rate_share=0.6,
                           busy_share=0.8)}}


def section():
    """Each figure is right at its target"""
    delta = measured(saved_ms=350, disk_bytes=23 * MIB + 2**18,
                     changed_bytes=20 * MIB, compared_gib_s=3.1)
    full = measured(saved_ms=1000)
    return {
        "content": {"memory_mib": 1024, "modes": {
            "random-delta": delta, "random-full": full,
            "runs-delta": delta, "runs-full": full}},
        "clone": {"sizes": {"8192": measured(saved_ms=60),
                            "1024": measured(saved_ms=40)}},
        "chain": {"modes": {
            "chain": measured(running_ms=15, loaded_ms=1150),
            "full": measured(running_ms=10, loaded_ms=1000)}},
        "merge": {"reflink": False, "modes": {
            "merge": measured(took_ms=1100),
            "copy": measured(took_ms=1000)}},
        "live": {"2 MiB": live(30), "4 KiB": live(60)},
        "checkpoints": {"modes": {"live-delta": {"runs": [
            {"stop_ms": 30, "rate_share": 0.8, "good": 1},
            {"stop_ms": 10, "rate_share": 1.0, "good": 1}]}}}}


def row_of(number, data, filling="contiguous"):
    rows = {row["row"]: row for row in targets.evaluate({"deltas": data})}
    return rows[number][filling]


def changed(path, **values):
    """The section with other figures at one place"""
    data = section()
    inner = data
    for key in path[:-1]:
        inner = inner[key]
    run = inner[path[-1]]["runs"][0]
    inner[path[-1]] = measured(**{**run, **values})
    return data


class Rows(unittest.TestCase):
    def test_at_their_targets(self):
        for number in NUMBERS:
            self.assertIs(row_of(number, section())["holds"], True, number)

    def test_just_beyond(self):
        content, chain = ("content", "modes"), ("chain", "modes", "chain")
        for number, path, values in (
                (40, (*content, "random-delta"), {"saved_ms": 351}),
                (40, (*content, "runs-delta"), {"disk_bytes": 24 * MIB}),
                (41, ("clone", "sizes", "8192"), {"saved_ms": 60.1}),
                (41, ("clone", "sizes", "1024"), {"saved_ms": 39}),
                (42, chain, {"running_ms": 15.1}),
                (42, chain, {"loaded_ms": 1151}),
                (43, ("merge", "modes", "merge"), {"took_ms": 1101}),
                (44, ("live", "2 MiB", "modes", "light"), {"stop_ms": 30.1}),
                (44, ("live", "4 KiB", "modes", "writer"), {"stop_ms": 60.1}),
                (44, ("live", "4 KiB", "modes", "stopped"),
                 {"saved_ms": 5999}),
                (45, ("live", "2 MiB", "modes", "writer"),
                 {"rate_share": 0.59}),
                (45, ("live", "4 KiB", "modes", "light"),
                 {"rate_share": 0.89}),
                (46, ("live", "2 MiB", "modes", "light"), {"saved_ms": 9601}),
                (46, ("live", "4 KiB", "modes", "writer"),
                 {"written_bytes": 1021})):
            row = row_of(number, changed(path, **values))
            self.assertIs(row["holds"], False, (number, path, values))

    def test_live_deltas(self):
        for values in ({"stop_ms": 30.1}, {"rate_share": 0.79}, {"good": 0}):
            data = section()
            data["checkpoints"]["modes"]["live-delta"]["runs"][0].update(
                values)
            self.assertIs(row_of(47, data)["holds"], False, values)

    def test_with_reflink(self):
        for ms, holds in ((500, True), (501, False)):
            data = changed(("merge", "modes", "merge"), took_ms=ms)
            data["merge"]["reflink"] = True
            self.assertIs(row_of(43, data)["holds"], holds)
        self.assertIn("no reflink", row_of(43, section())["text"])

    def test_what_is_told_beside_them(self):
        self.assertIn("3.1 GiB/s a core", row_of(40, section())["text"])
        self.assertIn("CPU alone writer 0.80, light 0.99",
                      row_of(45, section())["text"])
        self.assertEqual("30.0 ms; 0.90; 2 of 2",
                         row_of(47, section())["text"])

    def test_refused(self):
        data = {**section(), "checkpoints": REASON}
        self.assertEqual(row_of(47, data)["text"], "skipped")
        report = {"deltas": data}
        report["targets"] = targets.evaluate(report)
        self.assertIn(f"row 47 skipped: {REASON['skipped']}",
                      targets.skipped(report))
        self.assertIs(row_of(46, data)["holds"], True)

    def test_not_measured(self):
        for number in NUMBERS:
            self.assertIsNone(row_of(number, {}))
            self.assertIsNone(row_of(number, section(), "fragmented"))


class Parts(unittest.TestCase):
    @staticmethod
    def whole():
        def of(declared):
            return measured(**{figure.key: 1 for figure in declared},
                            verified=True, checked="good")

        result = {part: {"modes": {name: of(declared) for name in names}}
                  for part, names, declared in (
                      ("content", ("random-full", "random-delta",
                                   "runs-full", "runs-delta"),
                       figures.DELTA_FIGURES),
                      ("chain", ("chain", "full"), figures.CHAIN_FIGURES),
                      ("merge", ("merge", "copy"), figures.MERGE_FIGURES),
                      ("checkpoints", ("live-delta",),
                       figures.CHECKPOINT_FIGURES))}
        result["clone"] = {"sizes": {size: of(figures.CLONE_DELTA_FIGURES)
                                     for size in ("1024", "8192")}}
        result["live"] = {size: {"modes": {
            name: of(figures.LIVE_FIGURES) for name in ("stopped", *LIVE)}}
            for size in ("2 MiB", "4 KiB")}
        return {"deltas": result}

    def test_missing(self):
        report = self.whole()
        self.assertEqual(figures.missing(report, "deltas"), [])
        huge = report["deltas"]["live"]["2 MiB"]["modes"]
        huge["light"]["runs"][0].pop("stop_ms")
        huge["stopped"]["runs"][0].pop("stop_ms")
        report["deltas"]["merge"]["modes"]["merge"]["runs"][0][
            "checked"] = "bad"
        self.assertEqual(figures.missing(report, "deltas"),
                         ["merge merge: not verified",
                          "live 2 MiB light: no stop_ms"])
        self.assertTrue(figures.missing({"deltas": {}}, "deltas"))

    def test_refused(self):
        report = self.whole()
        for part in report["deltas"]:
            report["deltas"][part] = REASON
        report["deltas"]["live"] = {"2 MiB": REASON, "4 KiB": REASON}
        self.assertEqual(figures.missing(report, "deltas"), [])
        text = "\n".join(tables.delta_tables(report))
        self.assertEqual(text.count("not measured: this QEMU refuses it"), 7)

    def test_tables(self):
        text = "\n".join(tables.delta_tables(self.whole()))
        for words in ("Deltas and live saves", "random-delta",
                      "live saves, 4 KiB pages", "live-delta"):
            self.assertIn(words, text)
        self.assertEqual(list(tables.delta_tables({})), [])

    def test_a_refusal_is_a_result(self):
        class Silent:
            start = done = staticmethod(lambda _: None)

        def refused(_plan):
            raise QMPError("migrate: no")

        plan = Plan(QUICK, *[None] * 5, rounds=1, progress=Silent)
        self.assertEqual(deltas.unless_refused(plan, "x", refused), REASON)
        self.assertEqual(deltas.unless_refused(plan, "x", lambda _: {}), {})


class Changes(unittest.TestCase):
    def test_clusters(self):
        page, cluster = 4096, 65536
        for ranges, want in (
                ([], 0), ([(0, page)], 1), ([(0, page), (page * 3, page)], 1),
                ([(cluster - page, 2 * page)], 2),
                ([(0, 3 * cluster), (3 * cluster - page, 2 * page)], 4),
                ([(page, page), (5 * cluster, cluster)], 2)):
            self.assertEqual(want, changes.clusters(
                [{"start": start, "length": length}
                 for start, length in ranges]), ranges)

    def test_disk(self):
        for scale in (FULL, QUICK):
            plan = Plan(scale, *[None] * 5, rounds=1)
            plan.fill, plan.delta_sizes = 1000, scale.delta_sizes
            self.assertGreaterEqual(plan.disk_for_deltas(), 4000)


def ticks(*times):
    return [(when, f"tick {n} t={when}") for n, when in enumerate(times)]


class Pace(unittest.TestCase):
    def test_gap(self):
        lines = sorted([*ticks(1, 2, 4, 7, 11), (5, "touch-write 125 t=1")])
        for start, end, want in ((0, 20, 4), (2, 4, 2), (3, 3.5, 2),
                                 (4, 5, 3), (6.5, 7.5, 4), (12, 13, None)):
            got = pace.longest_gap_ms(lines, start, end)
            self.assertEqual(got, want and want * 1000, (start, end))

    def test_rate(self):
        lines = sorted([*ticks(1, 2, 3, 4), (3, "touch-write off"),
                        (2.5, "touch-write 125 t=1 stall=2"),
                        (3.5, "touch-write 75 t=1 stall=2")])
        self.assertEqual(pace.rate(lines, pace.TICK, 1, 3), 1)
        self.assertEqual(pace.rate(lines, pace.WRITES, 2, 4), 100)

    def test_series(self):
        lines = [(when, f"touch-write {units} t=1 stall=2")
                 for when, units in ((0.5, 9), (1, 5), (1.5, 10), (3.5, 10))]
        self.assertEqual(
            pace.series([*lines, (4, "touch-write off")], pace.WRITES, 0.75,
                        4, 20),
            [[250, 0], [750, 1], [2750, 0.25]])

    def test_open_files(self):
        fd, name = tempfile.mkstemp()
        self.addCleanup(os.unlink, name)
        self.assertTrue(procfs.has_open(os.getpid(), name))
        os.close(fd)
        self.assertFalse(procfs.has_open(os.getpid(), name))


if __name__ == "__main__":
    sys.exit(run_main_module("bench-deltas"))
