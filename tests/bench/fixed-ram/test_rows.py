#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests what scripts/bench makes of its measurements; speaks TAP.

Lines of guests and reports are made up here, so that what comes of them is
known; "scripts/bench --smoke" looks only if every figure is there.
"""

from pathlib import Path
import sys
import unittest

TOP = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(TOP / "scripts"), str(TOP / "tests" / "fixed-ram-tool")]

# pylint: disable=wrong-import-position
from fixed_ram_bench import figures, roundrates, targets    # noqa: E402
from fixed_ram_bench.modes import ACTIVITIES                # noqa: E402
from tap import run_main_module                             # noqa: E402

LOADED_S = 1.0
SLOW_US, STEADY_US = 20000, 1000


class Host:
    """Times are seconds since the load began"""

    @staticmethod
    def ms(when):
        return round(when * 1000, 2)


def lines_of(name, times_us):
    """A guest's rounds, each of which took so long, from 0.1 s on"""
    lines, now = [], 100000
    for us in times_us:
        now += us
        lines.append((now / 1e6, f"{name} 125 t={now} stall=7 us={us}"))
    return lines


def figures_of(activity, times_us):
    doing = ACTIVITIES[activity]
    return roundrates.figures(lines_of(doing.command, times_us), Host,
                              LOADED_S, doing)


STEADY = [STEADY_US] * 2500         # until long after the load


class Rounds(unittest.TestCase):
    def test_first_round_and_full_rate(self):
        got = figures_of("random", [400000, *[SLOW_US] * 5, *STEADY])
        self.assertEqual(got["first_round_ms"], 500)
        self.assertEqual(got["steady_us"], STEADY_US)
        # five slow rounds and three quick ones later
        self.assertEqual(got["full_ms"], 603)

    def test_two_quick_rounds_are_not_full_rate(self):
        got = figures_of("random", [400000, *[STEADY_US] * 2, SLOW_US,
                                    *STEADY])
        self.assertEqual(got["full_ms"], 500 + 2 + 20 + 3)

    def test_a_quarter_more_is_full_rate(self):
        for us, full in ((1250, True), (1251, False)):
            got = figures_of("random", [400000, *[us] * 3, SLOW_US, *STEADY])
            self.assertIs(got["full_ms"] < 510, full, us)

    def test_work_by_the_guests_clock(self):
        got = figures_of("random", [400000, *STEADY])
        self.assertEqual(got["series"][0][:2], [500, round(125 / 0.4)])
        self.assertEqual(got["series"][1][:2], [520, 125000])
        self.assertEqual(got["ninety_ms"], 520)

    def test_the_round_of_the_save_does_not_count(self):
        got = figures_of("local", [1000000, *STEADY])
        self.assertEqual(got["first_round_ms"], 1101)

    def test_no_round_after_the_load(self):
        self.assertEqual(figures_of("random", [400000, 1000]), {})


def measured(**values):
    return {"runs": [{"round": 0, **values}],
            "summary": {key: {"median": value}
                        for key, value in values.items()
                        if value is not None}}


def report_of(section, modes, **more):
    return {section: {"contiguous": {"modes": modes}}, **more}


def row_of(number, report, filling="contiguous"):
    return targets.evaluate(report)[number - 1][filling]


def storm(**demand):
    """Eager: at full rate after 1000 ms, first output after 900"""
    return report_of("storms", {
        "fixed-ram-direct": measured(full_ms=1000, first_round_ms=900,
                                     first_output_ms=900, huge_mib=400,
                                     running_ms=890),
        "on-demand": measured(**{"full_ms": 1000, "first_round_ms": 400,
                                 "huge_mib": 400, "running_ms": 5, **demand}),
        "on-demand-set": {"skipped": "there is none"}})


class RowsOfGuests(unittest.TestCase):
    def test_numbers(self):
        rows = targets.evaluate({})
        self.assertEqual([row["row"] for row in rows],
                         [*range(1, 36), *range(40, 48)])
        self.assertIn("random guest on demand", rows[19]["what"])
        self.assertIn("with a set", rows[28]["what"])

    def test_limits(self):
        for number, name, good, bad in ((20, "full_ms", 1150, 1151),
                                        (21, "first_round_ms", 405, 406),
                                        (25, "huge_mib", 360, 359)):
            for value, holds in ((good, True), (bad, False)):
                self.assertIs(row_of(number, storm(**{name: value}))["holds"],
                              holds, (number, value))

    def test_never_at_full_rate(self):
        row = row_of(20, storm(full_ms=None))
        self.assertIn("never", row["text"])
        self.assertIs(row["holds"], False)

    def test_skipped(self):
        report = storm()
        row = targets.evaluate(report)[21]
        self.assertEqual(row["skipped"], "there is none")
        self.assertIsNone(row["holds"])
        self.assertIsNone(row["fragmented"])
        report["targets"] = targets.evaluate(report)
        self.assertIn("row 22 skipped: there is none",
                      targets.skipped(report))

    def test_set(self):
        report = storm()
        modes = report["storms"]["contiguous"]["modes"]
        for full, first, holds in ((150, 108, True), (151, 108, False),
                                   (150, 109, False)):
            modes["on-demand-set"] = measured(full_ms=full,
                                              first_round_ms=first)
            self.assertIs(row_of(22, report)["holds"], holds, (full, first))

    def test_running_with_a_set(self):
        report = storm()
        modes = report["storms"]["contiguous"]["modes"]
        report["sets"] = report["storms"]
        for ms, holds in ((8, True), (8.1, False)):
            modes["on-demand-set"] = measured(running_ms=ms)
            self.assertIs(row_of(29, report)["holds"], holds, ms)


class OtherRows(unittest.TestCase):
    def test_tera(self):
        sizes = {"small_mib": 4096, "large_mib": 1024000, "sizes": {
            "4096": measured(running_ms=10),
            "1024000": measured(running_ms=25, saved_ms=300, disk_mib=40)}}
        self.assertIs(row_of(27, {"tera": sizes})["holds"], True)
        sizes["sizes"]["4096"] = measured(running_ms=9.9)
        self.assertIs(row_of(27, {"tera": sizes})["holds"], False)
        self.assertEqual(row_of(27, {"tera": {"skipped": "too much"}})["why"],
                         "too much")

    def settings_row(self, default):
        loads = {name: measured(loaded_ms=100) for choice in
                 figures.LOAD_CHOICES.values()
                 for name in (choice.default, *choice.explicit)}
        loads["fixed-ram-direct"] = measured(loaded_ms=50)
        loads["fixed-ram"] = measured(loaded_ms=default)
        saves = {name: measured(stable_ms=10) for name in
                 (figures.SAVE_CHOICE.default, *figures.SAVE_CHOICE.explicit)}
        return row_of(26, {"settings": {"contiguous": {"loads": loads,
                                                       "saves": saves}}})

    def test_settings_against_the_best(self):
        self.assertIs(self.settings_row(55)["holds"], True)
        self.assertIs(self.settings_row(56)["holds"], False)

    def test_before_is_of_one_machine(self):
        report = {"guest": {"memory_mib": 768}, "machine": {"cpus": 2}}
        self.assertIn("8,192 MiB", row_of(28, report)["why"])


class Missing(unittest.TestCase):
    """A figure that is declared, and not in a run, is told"""

    def test_round_figures(self):
        run = {figure.key: 1 for figure in figures.ROUND_FIGURES}
        good = measured(**run, verified=True)
        report = report_of("storms", {
            "fixed-ram-direct": good, "on-demand": good,
            "on-demand-set": {"skipped": "there is none"}})
        self.assertEqual(figures.missing(report, "storms"), [])
        good["runs"][0].pop("huge_mib")
        good["runs"][0]["verified"] = False
        self.assertEqual(figures.missing(report, "storms"),
                         [f"contiguous {mode}: {what}"
                          for mode in ("fixed-ram-direct", "on-demand")
                          for what in ("no huge_mib", "not verified")])

    def test_a_set_that_was_not_used(self):
        run = {figure.key: 1 for figure in figures.ROUND_FIGURES}
        report = report_of("storms", {
            mode: measured(**run, verified=True) for mode in
            ("fixed-ram-direct", "on-demand", "on-demand-set")})
        self.assertEqual(figures.missing(report, "storms"), [])
        for data in report["storms"]["contiguous"]["modes"].values():
            data["runs"][0]["set_pages"] = None
        self.assertEqual(figures.missing(report, "storms"),
                         ["contiguous on-demand-set: no set_pages"])

    def test_nothing_at_all(self):
        for section in ("storms", "sets", "settings", "tera", "clones"):
            self.assertTrue(figures.missing({section: {}}, section), section)


if __name__ == "__main__":
    sys.exit(run_main_module("bench-rows"))
