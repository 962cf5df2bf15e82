# SPDX-License-Identifier: GPL-2.0-or-later
"""What the figures must come to: rows, each for both fillings.

A row's function gets the report and a filling and returns (text, holds,
figures), or None where that was not measured. "Base" is that of base's modes
which has the best median of that figure. What was measured in turns is
compared in pairs: a ratio a round, and the median of the ratios.
"""

from dataclasses import dataclass

from .modes import (BASE_BUFFERED_SAVES, BASE_DIRECT_SAVES, BASE_MODES,
                    EAGER_MODES, FILLINGS, SAVES, is_on_demand)
from .stats import median_ratio

PAGE_MIB = 4 / 1024
FIXED_EXTRA_MIB = 64
RESIDENT_TOLERANCE = 1.01
# of a save: what QEMU needs for itself
SAVE_GROWTH_MIB = 16
SAVE_SIZE = {"contiguous": 1.02, "fragmented": 1.15}
SAVE_BUFFERED = {"contiguous": 1.1, "fragmented": 1.5}


class Missing(Exception):
    """That was not measured"""


def section(report, *path):
    for key in path:
        report = (report or {}).get(key)
    if not report:
        raise Missing(" ".join(path))
    return report


def runs(modes, name):
    return section(modes, name, "runs")


def median(modes, name, key):
    return section(modes, name, "summary", key)["median"]


def best(modes, names, key, pick=min):
    """That one of the modes with the best median"""
    known = [name for name in names if name in modes
             and key in modes[name].get("summary", {})]
    if not known:
        raise Missing(key)
    return pick(known, key=lambda name: median(modes, name, key))


def ratio(*args):
    value = median_ratio(*args)
    if value is None:
        raise Missing(str(args[2]))
    return value


def times(value):
    return f"{value:,.0f} times" if value >= 10 else f"{value:.2f} times"


# ---- the rows ----

@dataclass(frozen=True)
class Row:
    what: str
    target: str
    figures: object         # the function


ROWS = []                   # in the order of their definition


def row(what, target):
    """Makes a function one of the rows"""
    def add(function):
        ROWS.append(Row(what, target, function))
        return function
    return add


@row("migrate-incoming to RESUME, on demand, cold",
     "at most 25 ms, 150 times sooner than base")
def running(report, filling):
    modes = section(report, "light", filling, "modes")
    base = best(modes, BASE_MODES, "running_ms")
    ms = median(modes, "on-demand", "running_ms")
    sooner = ratio(runs(modes, base), runs(modes, "on-demand"), "running_ms")
    return (f"{ms:.1f} ms, {sooner:,.0f} times sooner",
            ms <= 25 and sooner >= 150,
            {"ms": ms, "sooner": sooner, "base": base})


@row("first output of a light guest, the same",
     "50 times sooner than base")
def first_output(report, filling):
    modes = section(report, "light", filling, "modes")
    base = best(modes, BASE_MODES, "first_output_ms")
    ms = median(modes, "on-demand", "first_output_ms")
    sooner = ratio(runs(modes, base), runs(modes, "on-demand"),
                   "first_output_ms")
    return (f"{ms:.0f} ms, {sooner:,.0f} times sooner", sooner >= 50,
            {"ms": ms, "sooner": sooner, "base": base})


@row("first output, largest guest against smallest",
     "at most 1.3 times")
def growth(report, filling):
    if filling != "contiguous":
        raise Missing(filling)
    sizes = section(report, "growth", "sizes")
    small, large = (pick(sizes, key=int) for pick in (min, max))
    more = ratio(runs(sizes[large]["modes"], "on-demand"),
                 runs(sizes[small]["modes"], "on-demand"), "first_output_ms")
    return (f"{more:.2f} ({int(large) / 1024:g} against "
            f"{int(small) / 1024:g} GiB)", more <= 1.3,
            {"ratio": more, "small_mib": int(small), "large_mib": int(large)})


@row("all loaded, on demand, guest idle, against base",
     "at most 1.05 times")
def loaded(report, filling):
    modes = section(report, "light", filling, "modes")
    base = best(modes, BASE_MODES, "loaded_ms")
    longer = ratio(runs(modes, "on-demand"), runs(modes, base), "loaded_ms")
    return (f"{longer:.2f}", longer <= 1.05, {"ratio": longer, "base": base})


@row("the same, against the disk's rate by fio",
     "at least 0.9 times")
def disk_rate(report, filling):
    data = section(report, "light", filling)
    of_fio = {run["round"]: run["mib_s"]
              for run in section(data, "fio", "runs")}
    pairs = [{"round": run["round"],
              "mib_s": data["data_mib"] * 1000 / run["loaded_ms"]}
             for run in runs(section(data, "modes"), "on-demand")]
    share = ratio(pairs, [{"round": n, "mib_s": of_fio[n]} for n in of_fio],
                  "mib_s")
    return f"{share:.2f}", share >= 0.9, {"ratio": share}


@row("guest memory in huge pages, against an eager load",
     "at least 0.9, also when touched")
def huge_pages(report, filling):
    modes = section(report, "light", filling, "modes")
    eager = best(modes, BASE_MODES + EAGER_MODES, "huge_mib", max)
    full = median(modes, eager, "huge_mib")
    if not full:
        raise Missing("huge pages")
    idle, touched = (median(modes, name, "huge_mib") / full
                     for name in ("on-demand", "on-demand-touched"))
    return (f"{idle:.2f}, touched {touched:.2f}", min(idle, touched) >= 0.9,
            {"idle": idle, "touched": touched, "eager": eager})


@row("2,000 touches, loaders on against off; load in a storm",
     "at most 1.3 times; 0.25 of the disk")
def touches(report, filling):
    parts = section(report, "engine", filling)
    slower = ratio(runs(section(parts, "loaders"), "on"),
                   runs(section(parts, "loaders"), "off"), "touch_s")
    storm = section(parts, "storm")
    share = ratio(runs(storm, "engine"), runs(storm, "fio"), "data_mib_s",
                  "mib_s")
    return (f"{slower:.2f}; {share:.2f} of the disk",
            slower <= 1.3 and share >= 0.25,
            {"slower": slower, "share_of_disk": share})


@row("p99 of a touch, against fio beside a reader",
     "at most 2 times")
def tail(report, filling):
    parts = section(report, "engine", filling, "tail")
    longer = ratio(runs(parts, "engine"), runs(parts, "fio"), "p99_us")
    return (f"{longer:.2f} ({median(parts, 'engine', 'p99_us'):,.0f} against "
            f"{median(parts, 'fio', 'p99_us'):,.0f} µs)", longer <= 2,
            {"ratio": longer})


@row("pages a second, two threads, warm, against naive",
     "at least 2 times")
def throughput(report, filling):
    parts = section(report, "engine", filling, "throughput")
    more = ratio(runs(parts, "engine"), runs(parts, "naive"), "pages_per_s")
    return times(more), more >= 2, {"ratio": more}


@row("90 % of full work rate, against base's first output",
     "at most 0.3 times")
def work(report, filling):
    modes = section(report, "work", filling, "modes")
    base = best(modes, BASE_MODES, "first_output_ms")
    share = ratio(runs(modes, "on-demand"), runs(modes, base), "ninety_ms",
                  "first_output_ms")
    ms = median(modes, "on-demand", "ninety_ms")
    return (f"{share:.2f} ({ms:,.0f} ms)", share <= 0.3,
            {"ratio": share, "ms": ms, "base": base})


@row("eager load against base; direct against direct",
     "at most 1.05 times; fragmented, direct 0.7")
def eager(report, filling):
    modes = section(report, "light", filling, "modes")
    base = best(modes, BASE_MODES, "loaded_ms")
    ours = best(modes, EAGER_MODES, "loaded_ms")
    longer = ratio(runs(modes, ours), runs(modes, base), "loaded_ms")
    result = {"ratio": longer, "base": base, "ours": ours}
    text, holds = f"{longer:.2f}", longer <= 1.05
    if filling == "fragmented":
        direct = ratio(runs(modes, "fixed-ram-direct"),
                       runs(modes, "base-direct"), "loaded_ms")
        result["direct"] = direct
        text += f"; direct {direct:.2f}"
        holds = holds and direct <= 0.7
    return text, holds, result


def excess(modes, memory):
    """How far each load on demand is from its limits: (extra, over, resident)
    """
    limit = FIXED_EXTRA_MIB + memory / PAGE_MIB / 2 / 2**20
    resident = min(median(modes, name, "resident_mib")
                   for name in BASE_MODES if name in modes)
    for name in modes:
        if is_on_demand(name):
            for run in runs(modes, name):
                yield (run["extra_mib"], run["extra_mib"] - limit,
                       run["resident_mib"] / resident)


@row("memory beyond the guest's, zero pages not present",
     "at most 64 MiB + 4 bits a page")
def memory(report, filling):
    cases = list(excess(section(report, "light", filling, "modes"),
                        section(report, "guest", "memory_mib")))
    if filling == "contiguous":
        for size, data in (report.get("growth") or {}).get(
                "sizes", {}).items():
            cases += excess(data["modes"], int(size))
    most, over, resident = (max(values) for values in zip(*cases))
    return (f"{most:.0f} MiB; resident {resident:.2f} of base's",
            over <= 0 and resident <= RESIDENT_TOLERANCE,
            {"extra_mib": most, "over_mib": over, "resident": resident})


@row("verified against unverified: eager load; p50 of a fault",
     "at most 1.05; 1.10")
def verified(report, filling):
    modes = section(report, "light", filling, "modes")
    longer = ratio(runs(modes, "fixed-ram-direct"),
                   runs(modes, "fixed-ram-unverified"), "loaded_ms")
    fault = ratio(runs(modes, "on-demand"),
                  runs(modes, "on-demand-unverified"), "fault_p50_us")
    return (f"{longer:.2f}; fault {fault:.2f}",
            longer <= 1.05 and fault <= 1.1,
            {"eager": longer, "fault": fault})


@row("save, direct, against base's best direct",
     "fragmented, at least 3 times")
def save_direct(report, filling):
    modes = section(report, "save", filling, "modes")
    base = best(modes, BASE_DIRECT_SAVES, "mib_s", max)
    more = ratio(runs(modes, "fixed-ram-direct"), runs(modes, base), "mib_s")
    return (times(more), more >= 3 or filling != "fragmented",
            {"ratio": more, "base": base})


@row("the same, bytes issued, against the disk's writes by fio",
     "at least 0.9 times")
def save_disk_rate(report, filling):
    data = section(report, "save", filling)
    share = ratio(runs(section(data, "modes"), "fixed-ram-direct"),
                  runs(data, "fio"), "issued_mib_s", "mib_s")
    return f"{share:.2f}", share >= 0.9, {"ratio": share}


@row("save to stable storage, buffered, against base's best",
     "at least 1.1 times; fragmented 1.5")
def save_buffered(report, filling):
    modes = section(report, "save", filling, "modes")
    base = best(modes, BASE_BUFFERED_SAVES, "stable_mib_s", max)
    more = ratio(runs(modes, "fixed-ram"), runs(modes, base), "stable_mib_s")
    return (times(more), more >= SAVE_BUFFERED[filling],
            {"ratio": more, "base": base})


@row("save with checksums against without; direct",
     "at least 0.95 times")
def save_sums(report, filling):
    modes = section(report, "save", filling, "modes")
    buffered, direct = (
        ratio(runs(modes, name), runs(modes, f"{name}-no-sums"),
              "stable_mib_s") for name in ("fixed-ram", "fixed-ram-direct"))
    return (f"{buffered:.2f}; direct {direct:.2f}",
            min(buffered, direct) >= 0.95,
            {"buffered": buffered, "direct": direct})


@row("save of a large guest with 256 MiB of data; more memory",
     f"at most 500 ms; {SAVE_GROWTH_MIB} MiB")
def save_sparse(report, filling):
    if filling != "contiguous":
        raise Missing(filling)
    data = section(report, "save", "sparse")
    modes = section(data, "modes")
    ms = median(modes, "fixed-ram", "saved_ms")
    rss, tables = (max(run[key] for run in runs(modes, "fixed-ram"))
                   for key in ("rss_mib", "tables_mib"))
    return (f"{ms:,.0f} ms, {rss + tables:.0f} MiB "
            f"({data['memory_mib'] / 1024:g} GiB)",
            ms <= 500 and rss + tables <= SAVE_GROWTH_MIB,
            {"ms": ms, "rss_mib": rss, "tables_mib": tables})


@row("a saved file's size on disk against its data",
     "at most 1.02 times; fragmented 1.15")
def save_size(report, filling):
    modes = section(report, "save", filling, "modes")
    most = max(run["disk_share"] for name in SAVES if name in modes
               and name.startswith("fixed-ram") for run in runs(modes, name))
    return f"{most:.3f}", most <= SAVE_SIZE[filling], {"ratio": most}


def evaluate(report):
    """One entry a row"""
    result = []
    for number, each in enumerate(ROWS, 1):
        entry = {"row": number, "what": each.what, "target": each.target}
        for filling in FILLINGS:
            try:
                text, holds, figures = each.figures(report, filling)
                entry[filling] = {"text": text, "holds": holds, **figures}
            except Missing:
                entry[filling] = None
        got = [entry[f]["holds"] for f in FILLINGS if entry[f]]
        entry["holds"] = all(got) if got else None
        result.append(entry)
    return result
