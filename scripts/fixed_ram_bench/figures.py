# SPDX-License-Identifier: GPL-2.0-or-later
"""The figures of each section, declared once.

A figure with a title is a column of the section's table; each one has to be in
every run of the section, and missing() tells which are not.
"""

from dataclasses import dataclass, replace

from .engine import HOLES
from .engine import MODES as ENGINE_MODES
from .modes import (BACK, CHAIN, CHANGES, CLONES_AT_WORK, FILLINGS, GROWTH,
                    HERDS, LIGHT, LIVE, LOAD_CHOICES, MERGE, MODES,
                    PAGE_SIZES, SAVE_CHOICE, SAVES, SETS, SPARSE_SAVES,
                    STOPPED, STORMS, WORK, is_on_demand)
from .stats import is_figure

MIB = 2**20


def always(_mode):
    return True


def is_touched(mode):
    return MODES[mode].touches > 0


def has_set(mode):
    return MODES[mode].has_set


def is_rollback(mode):
    return mode == "rollback"


def is_delta(mode):
    return mode.endswith("delta")


def is_live(mode):
    return mode in LIVE


@dataclass(frozen=True)
class Figure:
    """key: in a run and in a summary; divisor, digits: how it is shown

    of: which modes have it; may_be_none: other programs that take the CPUs
    may keep a guest from it
    """
    key: str
    title: str = ""
    divisor: float = 1
    digits: int = 0
    of: object = always
    may_be_none: bool = False

    def is_in(self, run, mode):
        if not self.of(mode):
            return True
        if self.may_be_none and self.key in run and run[self.key] is None:
            return True
        return is_figure(run.get(self.key))


RUNNING = Figure("running_ms", "running")
OUTPUT = Figure("first_output_ms", "output")
LOADED = Figure("loaded_ms", "loaded")
GAP = Figure("gap_ms", "gap")
NINETY = Figure("ninety_ms", "90 %", may_be_none=True)
FAULTS = (Figure("fault_p50_us", "p50", of=is_on_demand),
          Figure("fault_p99_us", "p99", of=is_on_demand),
          Figure("fault_max_us", "max", of=is_on_demand),
          Figure("faults", of=is_on_demand))
# with a working set there may be no fault at all
FEW_FAULTS = tuple(replace(figure, may_be_none=True) for figure in FAULTS)
# those that a load with a working set has only if it uses it
SET = (Figure("set_pages", of=has_set), Figure("set_placed", of=has_set),
       Figure("faults_outside", of=has_set))
COST = (Figure("read_bytes", "read", MIB), Figure("cpu_s", "CPU", digits=1))
MEMORY = (Figure("extra_mib", "extra"), Figure("resident_mib", "resident"))
HUGE = Figure("huge_mib", "huge")
TOUCHED = Figure("touch_s", of=is_touched)


def untitled(*figures):
    """They are measured, but the table is wide enough"""
    return tuple(replace(figure, title="") for figure in figures)


LIGHT_FIGURES = (RUNNING, OUTPUT, LOADED, GAP, *FAULTS, *COST, *MEMORY, HUGE,
                 TOUCHED)
WORK_FIGURES = (RUNNING, OUTPUT, Figure("half_ms", "50 %", may_be_none=True),
                NINETY, LOADED, Figure("stall_ms", "stall"), GAP, *FAULTS, *COST,
                *untitled(*MEMORY, HUGE), TOUCHED, Figure("full_rate"))
ROUND_FIGURES = (RUNNING, OUTPUT, Figure("first_round_ms", "round"), NINETY,
                 Figure("full_ms", "full", may_be_none=True), LOADED,
                 Figure("steady_us", "steady"), Figure("stall_ms", "stall"),
                 *FEW_FAULTS, HUGE, Figure("full_rate"), *SET)
GROWTH_FIGURES = (RUNNING, OUTPUT, LOADED, *COST, *MEMORY)
SAVE_FIGURES = (
    Figure("saved_ms", "saved"), Figure("stable_ms", "stable"),
    Figure("mib_s", "MiB/s"), Figure("stable_mib_s", "stable"),
    Figure("written_bytes", "written", MIB),
    Figure("disk_bytes", "on disk", MIB), Figure("cpu_s", "CPU", digits=1),
    Figure("rss_mib", "RSS"), Figure("tables_mib", "tables"),
    Figure("issued_mib_s"), Figure("disk_share"))
SETTINGS_FIGURES = (RUNNING, OUTPUT, LOADED, *COST)
TERA_FIGURES = (Figure("running_ms"), Figure("saved_ms"), Figure("disk_mib"))
CLONE_WORK_FIGURES = (RUNNING, OUTPUT, Figure("first_round_ms", "round"),
                      Figure("full_ms", "full", may_be_none=True), LOADED,
                      Figure("steady_us", "steady"),
                      Figure("stall_ms", "stall"), HUGE,
                      Figure("full_rate", "units/s"))
HERD_FIGURES = (
    RUNNING, Figure("output_ms", "output"), Figure("read_mib", "read"),
    Figure("touched_mib", "touched"),
    Figure("further_mib", "further", digits=1),
    Figure("written_mib", "written", digits=1),
    Figure("own_mib", "QEMU"), Figure("pss_mib", "PSS"), Figure("clones"))
BACK_FIGURES = (Figure("back_ms", "back", digits=1),
                Figure("written_mib", "written", digits=1,
                       of=is_rollback))
DELTA_FIGURES = (
    Figure("saved_ms", "saved"), Figure("disk_bytes", "on disk", MIB),
    Figure("changed_bytes", "changed", MIB, of=is_delta),
    Figure("cpu_s", "CPU", digits=2),
    Figure("compared_gib_s", "GiB/s", digits=1, of=is_delta))
CLONE_DELTA_FIGURES = DELTA_FIGURES[:2]
CHAIN_FIGURES = (RUNNING, LOADED)
MERGE_FIGURES = (Figure("took_ms", "took"),
                 Figure("disk_bytes", "on disk", MIB))
LIVE_FIGURES = (
    Figure("saved_ms", "saved"), Figure("written_bytes", "written", MIB),
    Figure("stop_ms", "stop", digits=1, of=is_live),
    Figure("downtime_ms", "QEMU's", of=is_live),
    Figure("quiet_gap_ms", "gap", digits=1, of=is_live),
    Figure("busy_gap_ms", "gap CPU", digits=1, of=is_live),
    Figure("rate_share", "rate", digits=2, of=is_live),
    Figure("busy_share", "rate CPU", digits=2, of=is_live),
    Figure("huge_mib", "huge", of=is_live))
CHECKPOINT_FIGURES = (
    Figure("saved_ms", "saved"), Figure("disk_bytes", "on disk", MIB),
    Figure("stop_ms", "stop", digits=1), Figure("downtime_ms", "QEMU's"),
    Figure("rate_share", "rate", digits=2), Figure("good"))
RATE_FIGURES = (Figure("mib_s"),)
LATENCY_FIGURES = (Figure("p50_us"), Figure("p99_us"))
TOUCH_FIGURES = (Figure("pages_per_s"), *LATENCY_FIGURES, Figure("touch_s"))


# ---- what is missing ----

@dataclass(frozen=True)
class Measured:
    """One mode's runs, and what has to be in them

    checked: a key that one of the runs has, of what was verified
    """
    where: str
    data: dict
    figures: tuple
    mode: str = ""
    checked: str = ""

    def missing(self):
        if "skipped" in (self.data or {}):
            return
        runs = (self.data or {}).get("runs") or []
        if not runs:
            yield f"{self.where}: no run"
        for figure in self.figures:
            if not all(figure.is_in(run, self.mode) for run in runs):
                yield f"{self.where}: no {figure.key}"
        if self.checked and not any(run.get(self.checked) not in
                                    (None, False, "bad") for run in runs):
            yield f"{self.where}: not verified"


def inner(data, *path):
    for key in path:
        data = (data or {}).get(key)
    return data


def loads(section, names, figures, fillings=FILLINGS):
    for filling in fillings:
        for name in names:
            yield Measured(f"{filling} {name}",
                           inner(section, filling, "modes", name), figures,
                           name, "verified")


def at_work(section, names):
    """In small runs one filling has to do"""
    return loads(section, names, ROUND_FIGURES, section or FILLINGS)


CHECKED = {"loads": "verified", "saves": "checked"}


def settings(section):
    every = [(choice, "loads", SETTINGS_FIGURES)
             for choice in LOAD_CHOICES.values()]
    every.append((SAVE_CHOICE, "saves", SAVE_FIGURES))
    for filling in section or FILLINGS:
        for choice, part, figures in every:
            for name in (choice.default, *choice.explicit):
                yield Measured(f"{filling} {name}",
                               inner(section, filling, part, name), figures,
                               name, "" if name in choice.explicit
                               else CHECKED[part])


def tera(section):
    if "skipped" in (section or {}):
        return
    for key in ("small_mib", "large_mib"):
        size = str(inner(section, key))
        yield Measured(f"{size} MiB", inner(section, "sizes", size),
                       TERA_FIGURES)


def clones(section):
    sizes = inner(section, "sizes") or {}
    for size in list(sizes) if len(sizes) > 1 else ["a second size"]:
        yield Measured(f"{size} MiB", inner(sizes, size), (RUNNING, OUTPUT))
    for part, names, figures in (("herd", HERDS, HERD_FIGURES),
                                 ("work", CLONES_AT_WORK,
                                  CLONE_WORK_FIGURES),
                                 ("rollback", BACK, BACK_FIGURES)):
        for name in names:
            yield Measured(f"{part} {name}",
                           inner(section, part, "modes", name), figures,
                           name, "verified")


def growth(section):
    sizes = inner(section, "sizes") or {}
    for size in list(sizes) if len(sizes) > 1 else ["a second size"]:
        for name in GROWTH:
            yield Measured(f"{size} {name}",
                           inner(sizes, size, "modes", name), GROWTH_FIGURES,
                           name)


def saves(section):
    for case, names in ((FILLINGS[0], SAVES), (FILLINGS[1], SAVES),
                        ("sparse", SPARSE_SAVES)):
        for name in names:
            yield Measured(f"{case} {name}",
                           inner(section, case, "modes", name), SAVE_FIGURES,
                           name, "checked" if names is SAVES else "")


def part(section, path, names, figures, checked=()):
    """Nothing is missing in what QEMU refuses"""
    data = inner(section, *path)
    if "skipped" in (data or {}):
        return
    for name in names:
        yield Measured(" ".join((*path, name)), inner(data, "modes", name),
                       figures, name, dict(checked).get(name, ""))


def deltas(section):
    kinds = [f"{kind}-{name}" for kind in CHANGES for name in ("full", "delta")]
    yield from part(section, ["content"], kinds, DELTA_FIGURES,
                    {f"{kind}-delta": "checked" for kind in CHANGES})
    yield from clone_deltas(inner(section, "clone"))
    yield from part(section, ["chain"], CHAIN, CHAIN_FIGURES,
                    dict.fromkeys(CHAIN, "verified"))
    yield from part(section, ["merge"], MERGE, MERGE_FIGURES,
                    {"merge": "checked"})
    for size in PAGE_SIZES:
        yield from part(section, ["live", size], (STOPPED, *LIVE),
                        LIVE_FIGURES, {"light": "checked",
                                       "writer": "verified"})
    yield from part(section, ["checkpoints"], ["live-delta"],
                    CHECKPOINT_FIGURES, {"live-delta": "verified"})


def clone_deltas(section):
    if "skipped" in (section or {}):
        return
    sizes = inner(section, "sizes") or {}
    for size in list(sizes) if len(sizes) > 1 else ["a second size"]:
        yield Measured(f"clone {size} MiB", inner(sizes, size),
                       CLONE_DELTA_FIGURES, size, "checked")


def disk(section):
    for name, figures in (("sequential_read", RATE_FIGURES),
                          ("sequential_write", RATE_FIGURES),
                          ("random_read", LATENCY_FIGURES),
                          ("random_read_beside", LATENCY_FIGURES)):
        yield Measured(name, inner(section, name), figures)


def engine(section):
    paths = [("scaling", f"{cache}-{mode}-1") for cache in ("cold", "warm")
             for mode in ENGINE_MODES]
    paths += [(filling, part, name) for filling in HOLES for part, name in (
        ("loaders", "on"), ("loaders", "off"), ("storm", "engine"),
        ("tail", "engine"), ("throughput", "engine"),
        ("throughput", "naive"))]
    for path in paths:
        yield Measured(" ".join(path), inner(section, *path), TOUCH_FIGURES)


SECTIONS = {
    "light": lambda section: loads(section, LIGHT, LIGHT_FIGURES),
    "work": lambda section: loads(section, WORK, WORK_FIGURES),
    "storms": lambda section: at_work(section, STORMS),
    "sets": lambda section: at_work(section, SETS),
    "growth": growth,
    "save": saves,
    "settings": settings,
    "tera": tera,
    "clones": clones,
    "deltas": deltas,
    "disk": disk,
    "engine": engine,
}


def missing(report, name):
    """What a section of the report, or a target, does not have"""
    if name == "targets":
        return [f"row {row['row']} has no figure" for row in report["targets"]
                if row["holds"] is None and not row["skipped"]]
    return [text for measured in SECTIONS[name](report.get(name))
            for text in measured.missing()]
