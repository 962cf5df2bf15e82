#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Draw what scripts/clones measured: when the clones did their first output,
and the memory that they take together.

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
    sys.exit("plot-clones: install the package python3-matplotlib")

from fixed_ram.plotting import (BASE, FAINT, INK, OTHER, OURS, STYLE,
                                duration, save)

COLOURS = {"mapped": OURS, "on-demand": OTHER, "eager": BASE}


def when_done(clone):
    """A VM without a serial port has no output"""
    return clone.get("output_ms", clone["running_ms"])


def draw_times(axes, modes):
    """Each mode's line rises by one when a clone has come so far"""
    last = max(when_done(clone) for data in modes.values()
               for clone in data["clones"])
    for mode, data in modes.items():
        times = sorted(when_done(clone) for clone in data["clones"])
        axes.step([0, *times, last * 1.05],
                  [*range(len(times) + 1), len(times)], where="post",
                  color=COLOURS[mode], linewidth=2,
                  label=f"{mode.replace('-', ' ')}: all after "
                  f"{duration(times[-1])}")
    axes.set_xlim(0, last * 1.05)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("ms since all were told to load")
    axes.set_ylabel("clones with their first output")
    axes.legend(loc="lower right", frameon=False, fontsize=9)


def draw_memory(axes, modes):
    """A bar is all clones together, a piece of it one of them"""
    for place, (mode, data) in enumerate(modes.items()):
        bottom = 0
        for clone in data["clones"]:
            axes.bar(place, clone["pss_mib"], 0.6, bottom,
                     color=COLOURS[mode], alpha=0.75, edgecolor="white")
            bottom += clone["pss_mib"]
        axes.text(place, bottom, f"{bottom:,.0f}", ha="center", va="bottom",
                  color=INK)
    axes.set_xticks(range(len(modes)),
                    [mode.replace("-", " ") for mode in modes])
    axes.set_ylabel("memory of all clones (PSS), MiB")
    axes.tick_params(axis="x", length=0)


def draw(report, output):
    with matplotlib.rc_context(STYLE):
        figure, (times, sizes) = pyplot.subplots(
            1, 2, figsize=(9.2, 3.9), width_ratios=(3, 2))
        draw_times(times, report["modes"])
        draw_memory(sizes, report["modes"])
        figure.suptitle(f"{report['number']} clones of one snapshot of "
                        f"{report['snapshot_mib']:,} MiB", fontsize=11,
                        color=FAINT)
        figure.tight_layout()
        save(figure, output)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("output", type=Path, help="an .svg or .png to write")
    parser.add_argument("--report", type=Path, metavar="FILE",
                        default=Path("build/clones/report.json"),
                        help="what scripts/clones wrote (default: "
                        "build/clones/report.json)")
    args = parser.parse_args()
    try:
        draw(json.loads(args.report.read_text()), args.output)
    except (OSError, ValueError, KeyError) as e:
        print(f"plot-clones: {e}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
