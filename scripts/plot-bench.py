#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Draw what scripts/bench measured, as PNG and SVG.

work       a guest's rate of work over time, by the way it is loaded
growth     the time to its first output, by the size of its RAM
save       how fast a stopped guest goes to stable storage
engine     pages a second of the engine alone, by the number of threads

Needs Debian's python3-matplotlib. What the report does not have is not drawn.
"""

import argparse
import json
from pathlib import Path
import sys

try:
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
except ImportError:
    sys.exit("plot-bench: install the package python3-matplotlib")

from fixed_ram.plotting import (BASE, FAINT, INK, OTHER, OURS, STYLE, duration,
                                save)

BASE_MODES = ("base-plain", "base-direct")
LABELS = {
    "base-plain": "eager, mapped-ram",
    "base-direct": "eager, mapped-ram with multifd and direct-io",
    "percent-10": "on demand, a tenth loaded first",
    "on-demand": "on demand",
}
COLOURS = {"base-plain": BASE, "base-direct": BASE, "percent-10": OTHER,
           "on-demand": OURS}
ENGINES = (("mapping", "private mapping of the file, by the kernel", FAINT),
           ("naive", "one thread, a page at a time", BASE),
           ("engine", "fixed-ram's engine", OURS))
SAVES = (("base-plain", "mapped-ram", BASE),
         ("base-multifd", "mapped-ram, multifd", BASE),
         ("base-multifd-direct", "mapped-ram, multifd, direct-io", BASE),
         ("fixed-ram", "fixed-ram", OURS),
         ("fixed-ram-direct", "fixed-ram, direct-io", OURS))
CACHES = (("warm", "file in the page cache"), ("cold", "file on the disk"))


def gib(mib):
    return f"{mib / 1024:g} GiB"


def guest_text(report):
    guest = report["guest"]
    return f"guest of {gib(guest['memory_mib'])}"


def best_base(modes, key):
    """That of base's modes with the best median"""
    known = [name for name in BASE_MODES
             if key in modes.get(name, {}).get("summary", {})]
    return min(known, default=None,
               key=lambda name: modes[name]["summary"][key]["median"])


# ------------------------------------------------------------ rate of work

def typical(data):
    """The run in the middle, by when it worked at full rate"""
    runs = [run for run in data["runs"] if run.get("full_rate")]
    runs.sort(key=lambda run: run["ninety_ms"] or float("inf"))
    return runs[(len(runs) - 1) // 2] if runs else None


def work_panel(axes, name, run, end):
    series = [entry for entry in run["series"] if entry[0] / 1000 < end + 0.2]
    start = series[0][0] - 100
    edges = [start / 1000] + [entry[0] / 1000 for entry in series]
    share = [100 * entry[1] / run["full_rate"] for entry in series]
    colour = COLOURS[name]

    axes.stairs(share, edges, fill=True, color=colour, alpha=0.35)
    axes.stairs(share, edges, color=colour, linewidth=1.2)
    axes.set_title(LABELS[name], loc="left", color=colour,
                   fontweight="bold", fontsize=12, pad=24)
    texts = [f"first output after {duration(run['first_output_ms'])}"]
    if run["ninety_ms"]:
        texts.append(f"90 % of full rate after {duration(run['ninety_ms'])}")
    texts.append(f"all loaded after {duration(run['loaded_ms'])}")
    axes.text(0, 1.06, "   ·   ".join(texts), transform=axes.transAxes)
    mark_loaded(axes, run["loaded_ms"] / 1000, end)
    if run["first_output_ms"] / 1000 > 0.25 * end:
        axes.text(run["first_output_ms"] / 2000, 50, "the guest waits",
                  color=FAINT, ha="center", va="center")
    axes.set_ylim(0, 145)
    axes.set_yticks((0, 50, 100))
    axes.set_xlim(0, end)


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


# ------------------------------------------------------------ growth

def growth_line(axes, sizes, name, label, colour):
    xs = [int(size) / 1024 for size in sizes]
    each = [sizes[size]["modes"][name]["summary"]["first_output_ms"]
            for size in sizes]
    ys = [one["median"] for one in each]
    spread = [[one["median"] - one["min"] for one in each],
              [one["max"] - one["median"] for one in each]]
    axes.errorbar(xs, ys, yerr=spread, color=colour, marker="o", markersize=5,
                  linewidth=1.6, elinewidth=1, capsize=3)
    for x, y, top in zip(xs, ys, each):
        axes.annotate(duration(y), (x, top["max"]), xytext=(0, 7),
                      textcoords="offset points", ha="center", color=colour,
                      fontsize=10)
    axes.annotate(label, (xs[-1], ys[-1]), xytext=(32, 0), color=colour,
                  textcoords="offset points", va="center", fontweight="bold",
                  annotation_clip=False)
    return [one["max"] for one in each] + [one["min"] for one in each]


def draw_growth(report, _filling):
    data = report.get("growth") or {}
    sizes = data.get("sizes")
    if not sizes:
        return None
    figure, axes = pyplot.subplots(figsize=(8.6, 4.2))
    values = [value for line in (("base-plain", "eager,\nmapped-ram", BASE),
                                 ("on-demand", "on demand", OURS))
              for value in growth_line(axes, sizes, *line)]
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_ylim(min(values) / 2.2, max(values) * 2.2)
    axes.xaxis.set_major_locator(FixedLocator([int(s) / 1024 for s in sizes]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g} GiB"))
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda y, _: duration(y)))
    axes.grid(axis="y", color=FAINT, alpha=0.25, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_xlabel(f"guest's RAM, of which {data['fill_mib']} MiB are filled")
    axes.set_ylabel("time to first output")
    figure.tight_layout()
    return figure


# ------------------------------------------------------------ save

def save_panel(axes, filling, data):
    """MiB/s of the guest's data; the line is fio's"""
    rates = [data["modes"][name]["summary"]["stable_mib_s"]
             for name, *_ in SAVES]
    middle = [rate["median"] for rate in rates]
    spread = [[rate["median"] - rate["min"] for rate in rates],
              [rate["max"] - rate["median"] for rate in rates]]
    axes.barh([label for _, label, _ in SAVES], middle, xerr=spread,
              color=[colour for *_, colour in SAVES], ecolor=FAINT,
              height=0.6)
    if "fio" in data:
        disk = data["fio"]["summary"]["mib_s"]["median"]
        axes.axvline(disk, color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
        axes.annotate("the disk, by fio", (disk, -0.6), color=FAINT,
                      fontsize=10, ha="center", va="bottom",
                      annotation_clip=False)
    axes.set_title(filling, loc="left", fontsize=11, color=INK, pad=18)
    axes.set_ylim(len(SAVES) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)


def draw_save(report, _filling):
    section = report.get("save") or {}
    fillings = [name for name in ("contiguous", "fragmented")
                if name in section]
    if not fillings:
        return None
    figure, panels = pyplot.subplots(1, len(fillings), sharex=True,
                                     sharey=True, squeeze=False,
                                     figsize=(8.6, 3.4))
    for axes, filling in zip(panels[0], fillings):
        save_panel(axes, filling, section[filling])
    figure.supxlabel("MiB of the guest's data a second, until they are on "
                     "stable storage", fontsize=11)
    figure.tight_layout(w_pad=2)
    return figure


# ------------------------------------------------------------ engine

def engine_line(axes, scaling, cache, mode, label, colour):
    points = []
    for key, data in scaling.items():
        where, which, count = key.split("-")
        if (where, which) == (cache, mode):
            points.append((int(count), data["summary"]["pages_per_s"]))
    points.sort()
    xs = [x for x, _ in points]
    ys = [y["median"] for _, y in points]
    spread = [[y["median"] - y["min"] for _, y in points],
              [y["max"] - y["median"] for _, y in points]]
    axes.errorbar(xs, ys, yerr=spread, color=colour, marker="o", markersize=5,
                  linewidth=1.6, elinewidth=1, capsize=3, label=label)
    return xs


def thousands(value, _position):
    if value >= 1e6:
        return f"{value / 1e6:g} M"
    return f"{value / 1e3:g} k" if value >= 1e3 else f"{value:g}"


def draw_engine(report, _filling):
    scaling = (report.get("engine") or {}).get("scaling")
    if not scaling:
        return None
    figure, panels = pyplot.subplots(1, 2, sharey=True, figsize=(8.6, 4.4))
    for axes, (cache, title) in zip(panels, CACHES):
        for line in ENGINES:
            xs = engine_line(axes, scaling, cache, *line)
        axes.set_title(title, loc="left", fontsize=11, color=INK)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.xaxis.set_major_locator(FixedLocator(xs))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        axes.yaxis.set_major_formatter(FuncFormatter(thousands))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.grid(axis="y", color=FAINT, alpha=0.25, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.set_xlabel("touching threads")
    panels[0].set_ylabel("pages touched for the first time, per second")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="upper center",
                  ncol=3, frameon=False, fontsize=10, columnspacing=1.6,
                  handlelength=1.6)
    figure.tight_layout(rect=(0, 0, 1, 0.93), w_pad=2)
    return figure


# ------------------------------------------------------------ all of them

PLOTS = {"work": draw_work, "growth": draw_growth, "save": draw_save,
         "engine": draw_engine}


def draw(report, output, filling):
    output.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(STYLE):
        for name, function in PLOTS.items():
            figure = function(report, filling)
            for suffix in (".png", ".svg"):
                path = output / (name + suffix)
                path.unlink(missing_ok=True)    # not an earlier report's
                if figure:
                    save(figure, path)
            if figure:
                pyplot.close(figure)


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
