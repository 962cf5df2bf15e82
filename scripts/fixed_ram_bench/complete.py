# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether a report has every figure; nothing here asks how large it is."""

from .engine import HOLES
from .engine import MODES as ENGINE_MODES
from .modes import (FILLINGS, GROWTH, LIGHT, MODES, SAVES, SPARSE_SAVES, WORK,
                    is_on_demand)
from .stats import is_figure

EVERY = ("running_ms", "first_output_ms", "loaded_ms", "cpu_s", "read_bytes",
         "extra_mib", "resident_mib")
LIGHT_KEYS = EVERY + ("gap_ms", "huge_mib")
WORK_KEYS = LIGHT_KEYS + ("full_rate", "stall_ms")
# not reached where other programs take the CPUs: that is no fault of ours
MAY_BE_NONE = ("half_ms", "ninety_ms")
FAULTS = ("faults", "fault_p50_us", "fault_p99_us", "fault_max_us")
SAVED = ("saved_ms", "stable_ms", "mib_s", "stable_mib_s", "issued_mib_s",
         "written_bytes", "disk_bytes", "disk_share", "cpu_s", "rss_mib",
         "tables_mib")
TOUCH = ("pages_per_s", "p50_us", "p99_us", "touch_s")


def missing_in_runs(where, data, keys):
    every = (data or {}).get("runs") or []
    if not every:
        yield f"{where}: no run"
    for run in every:
        for key in keys:
            if not is_figure(run.get(key)):
                yield f"{where}: no {key}"


def loads(section, names, keys):
    for filling in FILLINGS:
        modes = (section or {}).get(filling, {}).get("modes", {})
        for name in names:
            where = f"{filling} {name}"
            wanted = keys + (FAULTS if is_on_demand(name) else ())
            wanted += ("touch_s",) if MODES[name].touches else ()
            yield from missing_in_runs(where, modes.get(name), wanted)
            if not any(run.get("verified") for run in
                       modes.get(name, {}).get("runs", [])):
                yield f"{where}: not verified"


def rates(section):
    for filling in FILLINGS:
        modes = (section or {}).get(filling, {}).get("modes", {})
        for name, data in modes.items():
            for key in MAY_BE_NONE:
                if not all(key in run for run in data["runs"]):
                    yield f"{filling} {name}: no {key}"


def light(report):
    yield from loads(report.get("light"), LIGHT, LIGHT_KEYS)


def work(report):
    yield from loads(report.get("work"), WORK, WORK_KEYS)
    yield from rates(report.get("work"))


def growth(report):
    sizes = (report.get("growth") or {}).get("sizes", {})
    if len(sizes) < 2:
        yield "fewer than two sizes"
    for size, data in sizes.items():
        for name in GROWTH:
            yield from missing_in_runs(f"{size} MiB {name}",
                                       data["modes"].get(name), EVERY)


def save(report):
    section = report.get("save") or {}
    for case, names in ((FILLINGS[0], SAVES), (FILLINGS[1], SAVES),
                        ("sparse", SPARSE_SAVES)):
        modes = section.get(case, {}).get("modes", {})
        for name in names:
            where = f"{case} {name}"
            yield from missing_in_runs(where, modes.get(name), SAVED)
            if names is SAVES and not any(
                    run.get("checked") not in (None, "bad")
                    for run in modes.get(name, {}).get("runs", [])):
                yield f"{where}: not verified"


def disk(report):
    data = report.get("disk") or {}
    for name in ("sequential_read", "sequential_write"):
        yield from missing_in_runs(name, data.get(name), ("mib_s",))
    for name in ("random_read", "random_read_beside"):
        yield from missing_in_runs(name, data.get(name), ("p50_us", "p99_us"))


def engine(report):
    data = report.get("engine") or {}
    for cache in ("cold", "warm"):
        for mode in ENGINE_MODES:
            name = f"{cache}-{mode}-1"
            yield from missing_in_runs(
                name, data.get("scaling", {}).get(name), TOUCH)
    for filling in HOLES:
        for part, names in (("loaders", ("on", "off")), ("storm", ("engine",)),
                            ("tail", ("engine",)),
                            ("throughput", ("engine", "naive"))):
            for name in names:
                yield from missing_in_runs(
                    f"{filling} {part} {name}",
                    data.get(filling, {}).get(part, {}).get(name), TOUCH)


def targets(report):
    for row in report["targets"]:
        if row["holds"] is None:
            yield f"row {row['row']} has no figure"


CHECKS = {"light": light, "work": work, "growth": growth, "save": save,
          "disk": disk, "engine": engine, "targets": targets}


def missing(report, name):
    """What is not there of a section, each thing once"""
    return list(dict.fromkeys(CHECKS[name](report)))
