# SPDX-License-Identifier: GPL-2.0-or-later
"""Live deltas of a light guest in a row, each on the one before."""

import time

from fixed_ram.qmp import Failure

from . import pace
from .livesaves import begin_ticks, loads_right, save_live, watch
from .load import load
from .modes import LIVE_SAVE
from .save import check, save
from .snapshot import describe
from .stats import measured


def sleep_until(when):
    time.sleep(max(0, when - time.monotonic()))


def take_checkpoints(plan, guest, folder):
    """Their figures and files; the first file is their base"""
    files = [folder / f"checkpoint-{n}.snapshot"
             for n in range(plan.scale.checkpoints + 1)]
    begin_ticks(guest)
    quiet, _ = watch(plan, guest, pace.TICK)
    save(guest, files[0], LIVE_SAVE, "")
    runs, starts = [], []
    for number, (base, path) in enumerate(zip(files, files[1:])):
        plan.progress.update(f"live delta {number + 1} of {len(files) - 1}")
        starts.append(time.monotonic())
        runs.append({"round": number, **save_live(guest, path, base)[0]})
        sleep_until(starts[-1] + plan.scale.checkpoint_s)
    starts.append(time.monotonic())
    for run, start, end in zip(runs, starts, starts[1:]):
        run["rate_share"] = round(pace.rate(guest.serial.lines, pace.TICK,
                                            start, end) / quiet, 4)
    return {"files": files, "runs": runs}


def loads(plan, path):
    """All of its RAM, and all that is read has the right checksum"""
    snap = describe(path, plan.memory, plan.fill, "light")
    try:
        load(plan, snap, "on-demand", settle=False)
    except Failure as e:
        plan.note(f"NOT VERIFIED: {path.name}: {e}")
        return False
    return True


def load_each(plan, taken):
    """The guest looks at all of its memory after the last load"""
    plan.progress.start("deltas")
    good = 0
    for run, path in zip(taken["runs"], taken["files"][1:]):
        run["checked"] = check(plan, path, "fixed-ram")
        run["good"] = int(run["checked"] == "good" and loads(plan, path))
        good += run["good"]
    plan.progress.done(f"{good} of {len(taken['runs'])} live deltas load")
    taken["runs"][-1]["verified"] = loads_right(plan, taken["files"][-1])
    for path in taken["files"]:
        path.unlink()
    return {"modes": {"live-delta": measured(taken["runs"])}}
