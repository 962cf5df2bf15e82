# SPDX-License-Identifier: GPL-2.0-or-later
"""What saves must come to."""

from .modes import BASE_BUFFERED_SAVES, BASE_DIRECT_SAVES, SAVES
from .rows import Missing, Rows, best, median, ratio, runs, section, times

# of a save: what QEMU needs for itself
SAVE_GROWTH_MIB = 16
SAVE_SIZE = {"contiguous": 1.02, "fragmented": 1.15}
SAVE_BUFFERED = {"contiguous": 1.1, "fragmented": 1.5}

ROWS = Rows()
row = ROWS.row


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
