# SPDX-License-Identifier: GPL-2.0-or-later
"""A chain of deltas: loaded beside a full snapshot, and merged."""

import time

from fixed_ram.child import finish, run
from fixed_ram.pagecache import drop_from_page_cache
from fixed_ram.steps import verify, wait_loaded

from .changes import change, go_on
from .load import Prefixed, loading
from .modes import CHAIN, MODES
from .save import check, flush, save
from .snapshot import describe
from .turns import alternate

LAYERS = 8              # deltas, above the base
RUN = 16                # pages that change side by side
MODE = "on-demand"
COPY_S = 1800
READY_S = 60


def make_chain(plan, guest, folder):
    """Deltas on each other, and a full snapshot that follows the last delta

    The guest ticks, so it is known that it runs after a load.
    """
    go_on(guest)
    guest.command("tick 20", "^tick ", 60)
    layers = [folder / f"layer-{n}.snapshot" for n in range(LAYERS + 1)]
    save(guest, layers[0], "fixed-ram", "")
    for number, (base, layer) in enumerate(zip(layers, layers[1:]), 1):
        plan.progress.update(f"delta {number} of {LAYERS}")
        change(guest, plan.scale.layer_change, RUN, 1000 + number)
        save(guest, layer, "fixed-ram", base)
    full = folder / "full.snapshot"
    save(guest, full, "fixed-ram", "")
    return {"layers": layers, "full": full}


def cold(layers):
    for path in layers:
        drop_from_page_cache(path)


# ---- loads ----

def one_load(plan, name, layers, number):
    """It was saved when stopped: it may run, but has to be told"""
    cold(layers)
    progress = Prefixed(plan.progress, name)
    snap = describe(layers[-1], plan.memory, plan.fill, "light")
    with loading(plan, snap, MODES[MODE]) as (guest, watched):
        ready = guest.qmp.wait_event("MIGRATION", READY_S,
                                     status="postcopy-active")[0]
        guest.qmp.execute("cont")
        loaded = wait_loaded(guest, name, snap.data_bytes, progress)
        result = {"running_ms": watched.ms(ready),
                  "loaded_ms": watched.ms(loaded)}
        if number == 0:
            complaint = verify(guest, plan.fill, progress)
            result["verified"] = complaint is None
            if complaint:
                plan.note(f"NOT VERIFIED: {name}: {complaint}")
        guest.quit()
    return result


def loads_of_chain(plan, made):
    files = dict(zip(CHAIN, (made["layers"], [made["full"]])))
    plan.progress.start("deltas")
    result = alternate(plan, "loads", {
        name: lambda number, name=name: one_load(plan, name, files[name],
                                                 number)
        for name in CHAIN})
    plan.progress.done("loads: " + ", ".join(
        f"{name} {data['summary']['loaded_ms']['median']:,.0f} ms"
        for name, data in result.items()))
    return {"modes": result}


# ---- merges ----

def shares_blocks(folder):
    """Whether files can have blocks in common on this file system"""
    one, other = folder / "one", folder / "other"
    one.write_bytes(bytes(2**16))
    status, _, _ = finish(["cp", "--reflink=always", one, other], COPY_S)
    for path in (one, other):
        path.unlink(missing_ok=True)
    return status == 0


def timed(command, inputs, out):
    """How long it takes until the file that it writes is on stable storage"""
    out.unlink(missing_ok=True)
    cold(inputs)
    start = time.monotonic()
    run(command, COPY_S)
    flush(out)
    return {"took_ms": round((time.monotonic() - start) * 1000, 2),
            "disk_bytes": out.stat().st_blocks * 512}


def merge(plan, layers, out):
    return timed([plan.snapshot_tool, "merge", layers[-1], out], layers, out)


def plain_copy(merged, out):
    return timed(["cp", "--reflink=never", "--", merged, out], [merged], out)


def merges(plan, layers, folder):
    """What is copied is the result of an earlier merge"""
    merged, out = folder / "merged.snapshot", folder / "out.snapshot"
    plan.progress.start("deltas")
    merge(plan, layers, merged)
    checked = check(plan, merged, "fixed-ram")
    result = alternate(plan, "merge", {
        "merge": lambda _: {**merge(plan, layers, out), "checked": checked},
        "copy": lambda _: plain_copy(merged, out)})
    plan.progress.done("result of a chain: " + ", ".join(
        f"{name} {data['summary']['took_ms']['median']:,.0f} ms"
        for name, data in result.items()))
    for path in (*layers, merged, out):
        path.unlink()
    return {"reflink": shares_blocks(folder), "modes": result}
