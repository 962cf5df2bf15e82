#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Draw what scripts/bench measured: a guest's rate of work over time, by the
way it is loaded. The tables have all other figures.

Needs Debian's python3-matplotlib. The output is three pictures, each as SVG and
as PNG: work, of a guest that was saved at work, against base; sets, of two
guests that touch memory in rounds, with and without a working set; and live, of
a guest that writes without pause while it is saved.
"""

import argparse
import json
from pathlib import Path
import sys

try:
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot
except ImportError:
    sys.exit("plot-bench: install the package python3-matplotlib")

from fixed_ram.plotting import BASE, FAINT, OTHER, OURS, STYLE, duration, save

BASE_MODES = ("base-plain", "base-direct")
LABELS = {
    "base-plain": "eager, mapped-ram",
    "base-direct": "eager, mapped-ram with multifd and direct-io",
    "percent-10": "on demand, a tenth loaded first",
    "on-demand": "on demand",
}
EAGER = "fixed-ram-direct"
SETS = {EAGER: "eager", "on-demand": "on demand",
        "on-demand-set": "on demand, working set"}
GUESTS = (("storms", "full_ms", "full rate", "pages touched at random"),
          ("sets", "ninety_ms", "90 % of full rate", "with locality"))
COLOURS = {EAGER: BASE, "on-demand-set": OURS, "base-plain": BASE, "base-direct": BASE, "percent-10": OTHER,
           "on-demand": OURS}
# where there are three of ours
SETS_COLOURS = {**COLOURS, "on-demand": OTHER}


def gib(mib):
    return f"{mib / 1024:g} GiB"


def guest_text(report):
    guest = report["guest"]
    return f"guest of {gib(guest['memory_mib'])}"


def inner(data, *path):
    for key in path:
        data = (data or {}).get(key)
    return data or {}


def best_base(modes, key):
    """That of base's modes with the best median"""
    known = [name for name in BASE_MODES
             if key in modes.get(name, {}).get("summary", {})]
    return min(known, default=None,
               key=lambda name: modes[name]["summary"][key]["median"])


def typical(data, key="ninety_ms"):
    """The run in the middle, by when it worked at full rate"""
    runs = [run for run in data.get("runs", ()) if run.get("full_rate")]
    runs.sort(key=lambda run: run[key] or float("inf"))
    return runs[(len(runs) - 1) // 2] if runs else None


def draw_rate(axes, run, start, end, colour):
    """The work of a run's intervals, of which the first begins at start"""
    series = [entry for entry in run["series"] if entry[0] / 1000 < end + 0.2]
    edges = [start / 1000] + [entry[0] / 1000 for entry in series]
    share = [100 * entry[1] / run["full_rate"] for entry in series]
    axes.stairs(share, edges, fill=True, color=colour, alpha=0.35)
    axes.stairs(share, edges, color=colour, linewidth=1.2)
    mark_loaded(axes, run["loaded_ms"] / 1000, end)
    if start / 1000 > 0.25 * end:
        axes.text(start / 2000, 50, "the guest waits", color=FAINT,
                  ha="center", va="center")
    axes.set_ylim(0, 145)
    axes.set_yticks((0, 50, 100))
    axes.set_xlim(0, end)


def label(axes, title, texts, colour):
    axes.set_title(title, loc="left", color=colour, fontweight="bold",
                   fontsize=12, pad=24)
    axes.text(0, 1.06, "   ·   ".join(texts), transform=axes.transAxes)


def work_panel(axes, name, run, end):
    texts = [f"first output after {duration(run['first_output_ms'])}"]
    if run["ninety_ms"]:
        texts.append(f"90 % of full rate after {duration(run['ninety_ms'])}")
    texts.append(f"all loaded after {duration(run['loaded_ms'])}")
    label(axes, LABELS[name], texts, COLOURS[name])
    draw_rate(axes, run, run["series"][0][0] - 100, end, COLOURS[name])


def mark_loaded(axes, at, end):
    axes.axvline(at, color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
    right_half = at > end / 2
    axes.annotate("all loaded", (at, 130), color=FAINT, fontsize=10,
                  xytext=(-5 if right_half else 5, 0), va="center",
                  textcoords="offset points",
                  ha="right" if right_half else "left")


def draw_work(report, filling):
    data = (report.get("work") or {}).get(filling)
    if not data:
        return None
    modes = data["modes"]
    names = [best_base(modes, "first_output_ms"), "percent-10", "on-demand"]
    runs = [(name, typical(modes[name])) for name in names if name in modes]
    runs = [(name, run) for name, run in runs if run]
    if not runs:
        return None
    # until the last one is at rest again
    end = max(run["loaded_ms"] for _, run in runs) / 1000 * 1.12 + 0.5
    figure, panels = pyplot.subplots(
        len(runs), 1, sharex=True, squeeze=False,
        figsize=(8.6, 0.9 + 2.0 * len(runs)))
    for axes, (name, run) in zip(panels[:, 0], runs):
        work_panel(axes, name, run, end)
    panels[-1, 0].set_xlabel(f"seconds since migrate-incoming   ("
                             f"{guest_text(report)}, {filling})")
    figure.supylabel("guest's work, % of its full rate", fontsize=11, x=0.015)
    figure.tight_layout(h_pad=1.2)
    return figure


def set_runs(report, filling):
    """Of each guest that was measured: its texts, and (name, run, when it
    worked at full rate) of each way to load it
    """
    for section, key, what, text in GUESTS:
        modes = inner(report, section, filling, "modes")
        runs = [(name, typical(modes.get(name, {}), key)) for name in SETS]
        runs = [(name, run, run[key]) for name, run in runs if run]
        if runs:
            yield what, text, runs


def last_second(runs):
    """A little after all is loaded"""
    return max(max(run["loaded_ms"], full or 0)
               for _, run, full in runs) / 1000 * 1.15 + 0.2


def set_column(column, what, runs):
    end = last_second(runs)
    for axes, (name, run, full) in zip(column, runs):
        label(axes, SETS[name],
              [f"{what} after {duration(full)}" if full
               else f"{what} not reached"], SETS_COLOURS[name])
        # it was told to begin when it ran, or was at work when it was saved
        start = min(run["running_ms"], run["first_output_ms"])
        draw_rate(axes, run, start, end, SETS_COLOURS[name])
    column[-1].set_xlabel("seconds since migrate-incoming")


def draw_sets(report, filling):
    guests = list(set_runs(report, filling))
    if not guests:
        return None
    rows = max(len(runs) for _, _, runs in guests)
    figure, panels = pyplot.subplots(
        rows, len(guests), sharex="col", sharey=True, squeeze=False,
        figsize=(8.6, 1.3 + 1.75 * rows))
    for column, (what, text, runs) in enumerate(guests):
        set_column(panels[:, column], what, runs)
        panels[0, column].text(0, 1.62, f"{guest_text(report)}, {text}",
                               fontsize=12,
                               transform=panels[0, column].transAxes)
    figure.supylabel("guest's work, % of its full rate", fontsize=11, x=0.015)
    figure.tight_layout(h_pad=1.2)
    return figure


# ---- while a guest is saved ----

SAVES = {"stopped": ("stopped for the save", BASE),
         "writer": ("live save", OURS)}


def save_panel(axes, name, run):
    text, colour = SAVES[name]
    texts = [f"saved in {duration(run['saved_ms'])}"]
    if "stop_ms" in run:
        texts.append(f"longest stop {duration(run['stop_ms'])}")
    axes.set_title(text, loc="left", color=colour, fontweight="bold",
                   fontsize=12, pad=24)
    axes.text(0, 1.06, "   ·   ".join(texts), transform=axes.transAxes)
    begin = run["begins_ms"] / 1000
    edges = [ms / 1000 - begin for ms, _ in run["series"]]
    share = [100 * share for _, share in run["series"][1:]]
    axes.stairs(share, edges, fill=True, color=colour, alpha=0.35)
    axes.stairs(share, edges, color=colour, linewidth=1.2)
    for at in (0, run["ends_ms"] / 1000 - begin):
        axes.axvline(at, color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
    axes.set_ylim(0, 145)
    axes.set_yticks((0, 50, 100))


def draw_live(report):
    """The run in the middle by its time, of each way to save"""
    modes = inner(report, "deltas", "live", "2 MiB", "modes")
    runs = [(name, sorted(modes.get(name, {}).get("runs", ()),
                          key=lambda run: run["saved_ms"])) for name in SAVES]
    runs = [(name, each[(len(each) - 1) // 2]) for name, each in runs
            if each and each[0].get("series")]
    if not runs:
        return None
    figure, panels = pyplot.subplots(
        len(runs), 1, sharex=True, squeeze=False,
        figsize=(8.6, 0.9 + 2.0 * len(runs)))
    for axes, (name, run) in zip(panels[:, 0], runs):
        save_panel(axes, name, run)
    panels[-1, 0].set_xlabel("seconds since migrate   ("
                             f"{guest_text(report)}, writes without pause)")
    figure.supylabel("guest's work, % of its full rate", fontsize=11, x=0.015)
    figure.tight_layout(h_pad=1.2)
    return figure


def draw(report, output, filling):
    output.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(STYLE):
        for name, figure in (("work", draw_work(report, filling)),
                             ("sets", draw_sets(report, filling)),
                             ("live", draw_live(report))):
            for suffix in (".png", ".svg"):
                path = output / (name + suffix)
                path.unlink(missing_ok=True)    # not an earlier report's
                if figure:
                    save(figure, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("output", type=Path, metavar="OUTDIR",
                        help="the directory for the plots")
    parser.add_argument("--report", type=Path, metavar="FILE",
                        default=Path("build/bench/report.json"),
                        help="default: build/bench/report.json")
    parser.add_argument("--filling", default="fragmented",
                        choices=("contiguous", "fragmented"),
                        help="of the guest at work (default: fragmented)")
    args = parser.parse_args()
    try:
        draw(json.loads(args.report.read_text()), args.output, args.filling)
    except (OSError, ValueError, KeyError) as e:
        print(f"plot-bench: {type(e).__name__}: {e}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
