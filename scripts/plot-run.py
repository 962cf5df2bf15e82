#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Draw a guest's work over time, eager against on demand, from ticks.json.

Needs Debian's python3-matplotlib. The output's name says whether it becomes
an SVG or a PNG.
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
    sys.exit("plot-run: install the package python3-matplotlib")

from fixed_ram.plotting import BASE, FAINT, INK, OURS, STYLE, duration, save

LOADS = (("eager", "eager", BASE), ("on_demand", "on demand", OURS))


def last_second(data, loads):
    """Where the picture ends: where one of the loads was no longer watched"""
    return min(data[key]["watched_ms"] for key, _, _ in loads) / 1000


def draw_load(axes, data, key, label, colour, end):
    load = data[key]
    width = data["bin_ms"] / 1000
    bins = load["ticks_per_bin"][:int(end / width)]
    edges = [i * width for i in range(len(bins) + 1)]
    first = load["first_output_ms"]
    loaded = load["loaded_ms"]
    full = data["bin_ms"] / data["tick_ms"]

    axes.stairs(bins, edges, fill=True, color=colour, alpha=0.35)
    axes.stairs(bins, edges, color=colour, linewidth=1.2)
    axes.set_title(label, loc="left", color=colour, fontweight="bold",
                   fontsize=12, pad=24)
    axes.text(0, 1.06, f"first output after {duration(first)}   ·   "
              f"all RAM loaded after {duration(loaded)}",
              transform=axes.transAxes, color=INK)
    axes.axvline(loaded / 1000, color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
    right_half = loaded / 1000 > end / 2
    axes.annotate("all loaded", (loaded / 1000, full * 1.28), color=FAINT,
                  xytext=(-5 if right_half else 5, 0),
                  textcoords="offset points", va="center",
                  ha="right" if right_half else "left", fontsize=10)
    if first / 1000 > 0.25 * end:
        axes.text(first / 2000, full / 2, "the guest waits", color=FAINT,
                  ha="center", va="center")
    axes.set_ylim(0, full * 1.45)
    axes.set_xlim(0, end)


def draw(data, output):
    loads = [load for load in LOADS if load[0] in data]
    if not loads:
        sys.exit("plot-run: there is no load in the data")
    end = last_second(data, loads)
    with matplotlib.rc_context(STYLE):
        figure, panels = pyplot.subplots(
            len(loads), 1, sharex=True, squeeze=False,
            figsize=(8.6, 0.9 + 2.0 * len(loads)))
        for axes, load in zip(panels[:, 0], loads):
            draw_load(axes, data, *load, end)
        panels[-1, 0].set_xlabel("seconds since migrate-incoming")
        figure.supylabel(f"guest's work: ticks in {data['bin_ms']} ms",
                         fontsize=11, x=0.015)
        figure.tight_layout(h_pad=1.2)
        save(figure, output)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("output", type=Path, help="an .svg or .png to write")
    parser.add_argument("--data", type=Path, metavar="FILE",
                        default=Path("build/run/ticks.json"),
                        help="what run.py wrote (default: "
                        "build/run/ticks.json)")
    args = parser.parse_args()
    try:
        draw(json.loads(args.data.read_text()), args.output)
    except (OSError, ValueError, KeyError) as e:
        print(f"plot-run: {e}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
