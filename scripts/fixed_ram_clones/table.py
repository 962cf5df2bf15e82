# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of the clones, and the figures of all of them together."""

COLUMNS = (("running", "running_ms", "ms"), ("1st output", "output_ms", "ms"),
           ("QEMU", "before_mib", "MiB"), ("PSS", "pss_mib", "MiB"),
           ("private", "private_mib", "MiB"), ("read", "read_mib", "MiB"))
TIMES = ("running_ms", "output_ms")
NOTE = ("  Times since all clones were told to load. QEMU: what each process "
        "had before that.\n  PSS: its share of memory that others have, too; "
        "private: what is its alone; both\n  with QEMU's own, when the load "
        "was complete.")


def total(clones):
    """The times of the last clone, and sums of memory"""
    return {key: (max if key in TIMES else sum)(c[key] for c in clones)
            for _, key, _ in COLUMNS if all(key in c for c in clones)}


def cell(figures, key, unit):
    if key not in figures:
        return f"{'-':>13}"
    digits = 0 if unit == "ms" and figures[key] >= 100 else 1
    return f"{figures[key]:>9,.{digits}f} {unit:<3}"


def row(title, figures):
    return f"  {title:<12}" + "".join(cell(figures, key, unit)
                                      for _, key, unit in COLUMNS)


def mode_table(mode, clones):
    yield ""
    yield f"  {mode:<12}" + "".join(f"{title:>13}" for title, *_ in COLUMNS)
    for clone in clones:
        yield row(clone["name"], clone)
    yield row("all", total(clones))


def terminal(report):
    lines = [line for mode, data in report["modes"].items()
             for line in mode_table(mode, data["clones"])]
    return "\n".join([*lines, "", NOTE])
