# SPDX-License-Identifier: GPL-2.0-or-later
"""What loads must come to, with a guest that is idle or at work."""

from .modes import BASE_MODES, EAGER_MODES, is_on_demand
from .rows import Missing, Rows, best, median, ratio, runs, section, times

PAGE_MIB = 4 / 1024
FIXED_EXTRA_MIB = 64
RESIDENT_TOLERANCE = 1.01

ROWS = Rows()
row = ROWS.row


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
