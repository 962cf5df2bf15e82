# SPDX-License-Identifier: GPL-2.0-or-later
"""Saves of a guest that runs on, beside saves of the stopped one.

The light guest ticks each millisecond, and the longest time between two ticks
is how long it stood still.  The writer also changes pages without pause.
"""

from contextlib import contextmanager
import time

from fixed_ram.steps import verify

from . import pace
from .changes import go_on
from .load import Prefixed, Watched
from .modes import LIVE, LIVE_SAVE, STOPPED
from .rollback import loaded
from .save import check, save
from .snapshot import describe
from .turns import alternate

WRITTEN_MIB = 256
LINE_S = 60             # how long a guest may be silent
COME_UP_S = 0.3         # to the guest's full rate
BESIDE_S = 1            # what the picture shows before a save, and after it
WORK = {"light": pace.TICK, "writer": pace.WRITES}


def begin_ticks(guest):
    go_on(guest)
    guest.command("tick 1", pace.TICK, LINE_S)


def end_writes(guest):
    guest.command("touch-write 0", "^touch-write off$", LINE_S)


@contextmanager
def at_work(plan, guest, name):
    go_on(guest)
    if name == "writer":
        guest.command(f"touch-write {min(WRITTEN_MIB, plan.fill)}",
                      pace.WRITES, LINE_S)
    time.sleep(COME_UP_S)
    yield
    if name == "writer":
        end_writes(guest)


def watch(plan, guest, pattern):
    """While nothing is saved: (rate, longest gap)"""
    lines, start = guest.serial.lines, time.monotonic()
    mark = len(lines)
    time.sleep(plan.scale.window_s)
    for each in (pattern, pace.TICK):
        guest.serial.wait_line(each, LINE_S, mark)
    end = time.monotonic()
    return (pace.rate(lines, pattern, start, end),
            pace.longest_gap_ms(lines, start, end))


def save_live(guest, path, base):
    """Its figures, and when it began and ended"""
    result = save(guest, path, LIVE_SAVE, base)
    # the last gap has an end, too
    guest.serial.wait_line(pace.TICK, LINE_S, len(guest.serial.lines))
    times = [guest.qmp.find_event("MIGRATION", status=status)[0]
             for status in ("setup", "completed")]
    return {**result,
            "stop_ms": pace.longest_gap_ms(guest.serial.lines, *times),
            "downtime_ms": guest.qmp.execute("query-migrate")["downtime"]
            }, times


def picture_of(guest, pattern, start, end, full):
    """Its work from a little before the save until a little after it"""
    time.sleep(BESIDE_S)
    lines = guest.serial.lines
    guest.serial.wait_line(pattern, LINE_S, len(lines))
    return {"begins_ms": BESIDE_S * 1000,
            "ends_ms": round((end - start + BESIDE_S) * 1000, 1),
            "series": pace.series(lines, pattern, start - BESIDE_S,
                                  end + BESIDE_S, full)}


def live_save(plan, guest, path, name, ram):
    """One save; what the guest notices of it, and of a busy CPU alone"""
    pattern = WORK[name]
    with at_work(plan, guest, name):
        quiet, quiet_gap = watch(plan, guest, pattern)
        with pace.busy_cpu():
            busy, busy_gap = watch(plan, guest, pattern)
        huge = ram.memory().huge
        result, times = save_live(guest, path, "")
        picture = picture_of(guest, pattern, *times, quiet) \
            if name == "writer" else {}
    rate = pace.rate(guest.serial.lines, pattern, *times)
    return {**result, **picture,
            "quiet_gap_ms": quiet_gap, "busy_gap_ms": busy_gap,
            "rate_share": round(rate / quiet, 4),
            "busy_share": round(busy / quiet, 4),
            "huge_mib": round(huge / 1024, 1)}


def stopped_save(plan, guest, path):
    """Of the writer, which goes on afterwards"""
    with at_work(plan, guest, "writer"):
        quiet, _ = watch(plan, guest, pace.WRITES)
        start = time.monotonic()
        result = save(guest, path, "fixed-ram", "")
        go_on(guest)
        end = time.monotonic()
        return {**result, **picture_of(guest, pace.WRITES, start, end, quiet)}


def checked(plan, path, number, result):
    return result if number else {**result,
                                  "checked": check(plan, path, "fixed-ram")}


def live_saves(plan, guest, folder):
    """last: the file of the last save of the writer"""
    files = {name: folder / f"{name}.snapshot" for name in (STOPPED, *LIVE)}
    ram = Watched(guest, plan.memory)
    begin_ticks(guest)
    result = alternate(plan, "live saves", {
        STOPPED: lambda number: stopped_save(plan, guest, files[STOPPED]),
        **{name: lambda number, name=name: checked(
            plan, files[name], number,
            live_save(plan, guest, files[name], name, ram)) for name in LIVE}})
    files[STOPPED].unlink()
    files["light"].unlink()
    return {"modes": result, "last": files["writer"]}


# ---- what was saved ----

def saved_at_work(plan, path, mode):
    """The guest that such a save has saved, loaded: (guest, Watched)"""
    return loaded(plan, describe(path, plan.memory, plan.fill, "light"), mode)


def is_right(plan, guest, name):
    """Whether it finds its memory as it left it; it does nothing afterwards"""
    plan.progress.start("deltas")
    end_writes(guest)
    complaint = verify(guest, plan.fill, Prefixed(plan.progress, name))
    if complaint:
        plan.note(f"NOT VERIFIED: {name}: {complaint}")
    plan.progress.done(f"{name}: {complaint or 'verified'}")
    return complaint is None


def loads_right(plan, path):
    plan.progress.start("deltas")
    with saved_at_work(plan, path, "on-demand") as (guest, _):
        return is_right(plan, guest, path.name)
