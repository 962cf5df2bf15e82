# SPDX-License-Identifier: GPL-2.0-or-later
"""The report for people: tables on the terminal and in Markdown."""

from .figures import (BACK_FIGURES, CHAIN_FIGURES, CHECKPOINT_FIGURES,
                      CLONE_DELTA_FIGURES, CLONE_WORK_FIGURES, DELTA_FIGURES,
                      HERD_FIGURES, LIGHT_FIGURES, LIVE_FIGURES,
                      MERGE_FIGURES, OUTPUT, ROUND_FIGURES, RUNNING,
                      SAVE_FIGURES, SETTINGS_FIGURES, TOUCH_FIGURES,
                      WORK_FIGURES)
from .modes import FILLINGS, PAGE_SIZES
from .targets import skipped

SAVE_UNITS = (
    "Medians. saved: ms until completed; stable: until the data is on stable "
    "storage; MiB/s\n  of the guest's data until then; MiB written, and of "
    "the file on disk; CPU in s; MiB by\n  which QEMU's memory and its page "
    "tables grew.")
UNITS = ("Medians. Times in ms, since migrate-incoming; p50, p99, max: faults, "
         "in µs; CPU in s;\n  the rest in MiB: read from the disk, most memory "
         "beyond the guest's, guest memory\n  resident and in huge pages. "
         "gap: between two of the guest's lines; stall: of its work.\n  "
         "round: the first 2,000 touches; full: three rounds at full rate; "
         "steady: a round\n  at full rate, in µs.")
CLONE_UNITS = (
    "Medians. Times in ms, of the last clone; the rest in MiB: read and touched "
    "by all clones;\n  RAM of a further clone, and what of it was written; "
    "QEMU's own; all memory of a clone.\n  back: from the command until the "
    "guest runs as in the snapshot; written: what it had\n  written to before.")
DELTA_UNITS = (
    "Medians. Times in ms, sizes in MiB, CPU in s. changed: clusters of 64 KiB "
    "that differ from\n  the base; GiB/s: of RAM compared, a core. stop: the "
    "longest time between two of the guest's\n  lines during the save, and "
    "the stop that QEMU counts; gap: the same before the save.\n  rate: of "
    "the guest's work, by its rate before the save; CPU: with a busy CPU "
    "instead of a\n  save. huge: guest memory in huge pages when the save "
    "begins.")
DELTA_PARTS = (
    ("deltas by content", ("content", "modes"), DELTA_FIGURES),
    ("deltas of mapped guests, by MiB of RAM", ("clone", "sizes"),
     CLONE_DELTA_FIGURES),
    ("loads of a chain", ("chain", "modes"), CHAIN_FIGURES),
    ("merges of the chain", ("merge", "modes"), MERGE_FIGURES),
    *((f"live saves, {size} pages", ("live", size, "modes"), LIVE_FIGURES)
      for size in PAGE_SIZES),
    ("live deltas in a row", ("checkpoints", "modes"), CHECKPOINT_FIGURES))
ACTIVITIES = (("light", "light", LIGHT_FIGURES),
              ("work", "work", WORK_FIGURES),
              ("storms", "random", ROUND_FIGURES),
              ("sets", "local", ROUND_FIGURES))


def cell(summary, figure):
    if figure.key not in summary:
        return "-"
    value = summary[figure.key]["median"] / figure.divisor
    return f"{value:,.{figure.digits}f}"


def mode_table(modes, figures):
    columns = [figure for figure in figures if figure.title]
    width = max(20, *(len(name) + 1 for name in modes))
    yield " " * (2 + width) + "".join(f"{figure.title:>9}"
                                      for figure in columns)
    for name, data in modes.items():
        if "skipped" in data:
            yield f"  {name:<{width}}  skipped: {data['skipped']}"
            continue
        yield f"  {name:<{width}}" + "".join(
            f"{cell(data['summary'], figure):>9}" for figure in columns)


def load_tables(report):
    for section, activity, figures in ACTIVITIES:
        for filling, data in (report.get(section) or {}).items():
            fio = data.get("fio", {}).get("summary", {}).get("mib_s")
            yield ""
            yield (f"  {activity}, {filling}: {data['data_mib']:,} MiB of data"
                   + (f"; fio reads {fio['median']:,.0f} MiB/s" if fio
                      else ""))
            yield from mode_table(data["modes"], figures)


def save_tables(report):
    for case, data in (report.get("save") or {}).items():
        fio = data.get("fio", {}).get("summary", {}).get("mib_s")
        size = data.get("memory_mib", report["guest"]["memory_mib"])
        yield ""
        yield (f"  save, {case}: {data['data_mib']:,} of {size:,} MiB not zero"
               + (f"; fio writes {fio['median']:,.0f} MiB/s" if fio else ""))
        yield from mode_table(data["modes"], SAVE_FIGURES)
    if report.get("save"):
        yield ""
        yield f"  {SAVE_UNITS}"


def settings_tables(report):
    for filling, data in (report.get("settings") or {}).items():
        yield ""
        yield f"  settings, {filling}"
        yield from mode_table(data["loads"], SETTINGS_FIGURES)
        yield from mode_table(data["saves"], SAVE_FIGURES)


def clone_tables(report):
    data = report.get("clones")
    if not data:
        return
    yield ""
    yield "  mapped, ms until the guest runs: " + ", ".join(
        f"{int(size) / 1024:g} GiB "
        f"{each['summary'][RUNNING.key]['median']:.1f}"
        for size, each in data["sizes"].items())
    for part, title, figures in (
            ("herd", "clones started together", HERD_FIGURES),
            ("work", "random guest", CLONE_WORK_FIGURES),
            ("rollback", "back to the snapshot", BACK_FIGURES)):
        yield ""
        yield f"  {title}"
        yield from mode_table(data[part]["modes"], figures)
    yield ""
    yield f"  {CLONE_UNITS}"


def delta_tables(report):
    if not report.get("deltas"):
        return
    yield ""
    yield "  Deltas and live saves"
    for title, (*path, key), figures in DELTA_PARTS:
        data = report["deltas"]
        for name in path:
            data = data[name]
        yield ""
        if "skipped" in data:
            yield f"  {title}: not measured: {data['skipped']}"
            continue
        yield f"  {title}"
        yield from mode_table(data[key], figures)
    yield ""
    yield f"  {DELTA_UNITS}"


def growth_table(report):
    sizes = (report.get("growth") or {}).get("sizes", {})
    if not sizes:
        return
    yield ""
    yield "  first output by the guest's RAM, ms"
    yield f"  {'':<20}" + "".join(f"{f'{int(size) / 1024:g} GiB':>9}"
                                  for size in sizes)
    for name in next(iter(sizes.values()))["modes"]:
        cells = [cell(data["modes"][name]["summary"], OUTPUT)
                 for data in sizes.values()]
        yield f"  {name:<20}" + "".join(f"{text:>9}" for text in cells)


def scaling_table(report):
    data = (report.get("engine") or {}).get("scaling", {})
    if not data:
        return
    yield ""
    yield "  engine alone, touching threads: pages/s (p50/p99 in µs)"
    rows = {}
    pages, p50, p99, _ = TOUCH_FIGURES
    for key, value in data.items():
        cache, mode, count = key.split("-")
        summary = value["summary"]
        rows.setdefault((cache, mode), []).append(
            f"{count}: {cell(summary, pages)} "
            f"({cell(summary, p50)}/{cell(summary, p99)})")
    for (cache, mode), cells in rows.items():
        yield f"  {cache + ', ' + mode:<20}" + "".join(
            f"{text:>26}" for text in cells)


def holds(value):
    return {True: "yes", False: "NO", None: "-"}[value]


def target_table(report):
    lines = [("#", "what", *FILLINGS, "holds")]
    for row in report["targets"]:
        cells = [row[f]["text"] if row[f] else "-" for f in FILLINGS]
        lines.append((str(row["row"]), row["what"], *cells,
                      holds(row["holds"])))
    widths = [max(map(len, column)) for column in zip(*lines)]
    yield ""
    for line in lines:
        yield "  " + "  ".join(text.ljust(width) for text, width
                               in zip(line, widths)).rstrip()


def terminal(report):
    lines = [*load_tables(report)]
    if lines:
        lines += ["", f"  {UNITS}"]
    lines += [*settings_tables(report), *growth_table(report),
              *clone_tables(report), *delta_tables(report),
              *save_tables(report),
              *scaling_table(report), *target_table(report)]
    notes = [*report["notes"], *skipped(report)]
    if notes:
        lines += ["", *(f"  note: {note}" for note in notes)]
    return "\n".join(lines)


def markdown(report):
    """The targets, for the page of benchmarks"""
    lines = ["| # | what | target | contiguous | fragmented | holds |",
             "|---|---|---|---|---|---|"]
    for row in report["targets"]:
        cells = [row[f]["text"] if row[f] else "–" for f in FILLINGS]
        lines.append(f"| {row['row']} | {row['what']} | {row['target']} | "
                     f"{cells[0]} | {cells[1]} | {holds(row['holds'])} |")
    machine, guest = report["machine"], report["guest"]
    lines += ["", f"{machine['cpus']} CPUs, {machine['memory_mib']:,} MiB, "
              f"Linux {machine['kernel']}, {machine['accelerator']}; guest of "
              f"{guest['memory_mib']:,} MiB with {guest['fill_mib']:,} MiB "
              f"filled; {report['rounds']} rounds, medians."]
    lines += [f"Note: {note}."
              for note in [*report["notes"], *skipped(report)]]
    return "\n".join(lines) + "\n"
