# SPDX-License-Identifier: GPL-2.0-or-later
"""How our plots look. Import it after matplotlib was found to be there."""

INK = "#333333"
FAINT = "#8a8a8a"
BASE = "#b5541c"
OURS = "#1f6f8b"
OTHER = "#7a6a9b"

STYLE = {
    "font.family": "sans-serif",
    "font.size": 11,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    # the same data give the same SVG
    "svg.hashsalt": "fixed-ram",
}


def duration(ms):
    if ms >= 1000:
        return f"{ms / 1000:.1f} s"
    return f"{ms:.0f} ms" if ms >= 10 else f"{ms:.1f} ms"


def save(figure, output):
    """The name says whether it becomes an SVG or a PNG"""
    metadata = {"Date": None} if output.suffix == ".svg" else None
    figure.savefig(output, dpi=150, metadata=metadata)
