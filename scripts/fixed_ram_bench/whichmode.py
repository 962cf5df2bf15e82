# SPDX-License-Identifier: GPL-2.0-or-later
"""The manual's table "which mode when", with the figures of a report.

scripts/bench writes it to which-mode.rst when the section "clones" was
measured; it goes into docs/system/fixed-ram.rst as it is.
"""

from .modes import EAGER_AT_WORK

# a mode's name of guests at work, and of many that are started together
COLUMNS = (("eager", EAGER_AT_WORK, "eager"),
           ("on demand", "on-demand", "on-demand"),
           ("mapped", "mapped", "mapped"))


def of_work(key):
    return lambda clones, work, _: cell(clones["work"], work, key)


def of_herd(key):
    return lambda clones, _, herd: cell(clones["herd"], herd, key)


ROWS = (
    ("The guest runs after", of_work("running_ms"), "ms"),
    ("Its first output comes after", of_work("first_output_ms"), "ms"),
    ("It touches memory at random at full rate after", of_work("full_ms"),
     "ms"),
    ("{clones} guests at once: all have done their first output after",
     of_herd("output_ms"), "ms"),
    ("These have read", of_herd("read_mib"), "MiB"),
    ("Memory of each of these, QEMU's own among it", of_herd("pss_mib"),
     "MiB"))


def cell(part, mode, key):
    """The median; None if it was not measured, or never reached"""
    found = part["modes"].get(mode, {}).get("summary", {}).get(key)
    return found and found["median"]


def text_of(value, unit):
    return "–" if value is None else f"{value:,.0f} {unit}"


def table(report):
    """Lines of an RST list-table; none if clones were not measured"""
    clones = report.get("clones")
    if not clones:
        return
    guest = report["guest"]
    number = cell(clones["herd"], "mapped", "clones")
    yield (f".. list-table:: Measured: {guest['memory_mib']:,} MiB of RAM, "
           f"{guest['fill_mib']:,} MiB filled; cold page cache")
    yield "   :header-rows: 1"
    yield "   :widths: 40 20 20 20"
    yield ""
    yield "   * -"
    for title, _, _ in COLUMNS:
        yield f"     - {title}"
    for title, figure, unit in ROWS:
        yield f"   * - {title.format(clones=f'{number:.0f}')}"
        for _, work, herd in COLUMNS:
            yield f"     - {text_of(figure(clones, work, herd), unit)}"
