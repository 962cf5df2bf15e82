# SPDX-License-Identifier: GPL-2.0-or-later
"""What the figures must come to: all rows, each for both fillings."""

from . import clonerows, deltarows, loadrows, saverows, workrows
from .modes import FILLINGS
from .rows import Missing, Skipped

ROWS = (*loadrows.ROWS, *saverows.ROWS, *workrows.ROWS, *clonerows.ROWS)
# numbers between those belong to what is measured elsewhere
NUMBERED = (*enumerate(ROWS, 1), *enumerate(deltarows.ROWS, deltarows.FIRST))


def of_a_filling(row, report, filling):
    """What the row's function returns, as the report has it"""
    try:
        text, holds, figures = row.figures(report, filling)
    except Skipped as e:
        return {"text": "skipped", "holds": None, "why": str(e)}
    except Missing:
        return None
    return {"text": text, "holds": holds, **figures}


def evaluate(report):
    """One entry a row; skipped: why, where that is so for both fillings"""
    result = []
    for number, row in NUMBERED:
        cells = {filling: of_a_filling(row, report, filling)
                 for filling in FILLINGS}
        known = [cell for cell in cells.values() if cell]
        got = [cell["holds"] for cell in known if "why" not in cell]
        why = [cell["why"] for cell in known if "why" in cell]
        result.append({"row": number, "what": row.what, "target": row.target,
                       **cells, "holds": all(got) if got else None,
                       "skipped": why[0] if why and not got else None})
    return result


def skipped(report):
    """Why rows have no figures, a sentence for each reason"""
    reasons = {}
    for row in report["targets"]:
        if row["skipped"]:
            reasons.setdefault(row["skipped"], []).append(str(row["row"]))
    return [f"row{'s' * (len(rows) > 1)} {', '.join(rows)} skipped: {why}"
            for why, rows in reasons.items()]
