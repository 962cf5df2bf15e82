# SPDX-License-Identifier: GPL-2.0-or-later
"""Loads whose RAM is a mapping: sizes, many clones at once, guests at work."""

from statistics import mean

from fixed_ram import pagemap
from fixed_ram.guest import Guest
from fixed_ram.qmp import Failure
from fixed_ram.steps import verify
from fixed_ram.text import mib
from fixed_ram_clones.herd import Herd, run_clones
from fixed_ram_clones.identity import identities
from fixed_ram_clones.vms import Quiet
from fixed_ram.pagecache import drop_from_page_cache

from .load import Watched, load
from .modes import CLONES_AT_WORK, HERDS, MODES
from .recording import with_set
from .rollback import rollbacks
from .snapshot import snapshot
from .turns import alternate
from .workload import load_at_work

FILLING = "contiguous"


def in_turns(plan, title, things, key):
    plan.progress.start("clones")
    result = alternate(plan, title, things)
    plan.progress.done(f"{title}: " + ", ".join(
        f"{name} {data['summary'][key]['median']:,.0f} ms"
        for name, data in result.items() if key in data["summary"]))
    return result


def sizes(plan):
    """Guests that differ in the size of their RAM"""
    return with_snapshots(plan, plan.clone_sizes, {})


def with_snapshots(plan, missing, snaps):
    """All of them exist while any is loaded, for they take turns"""
    if not missing:
        return in_turns(plan, "mapped", {
            str(size): lambda _, snap=snap: load(plan, snap, "mapped",
                                                 settle=False)
            for size, snap in snaps.items()}, "running_ms")
    size = missing[0]
    with snapshot(plan, FILLING, "growth", size,
                  min(plan.scale.growth_fill, size // 2)) as snap:
        return with_snapshots(plan, missing[1:], {**snaps, size: snap})


# ---- many clones, started together ----

def ram_figures(clones):
    """What a clone's RAM takes: (its share, resident, its QEMU's share)"""
    memory = [clone.memory() for clone in clones]
    return [[round(kib / 1024, 2) for kib in
             (each.share, each.inside, each.share_outside)]
            for each in memory]


def herd_figures(machines, clones, path):
    """Times are those of the last clone; memory is that of a further one

    What they touched is pages of RAM and what each load reads beside them.  Of
    a page that all clones share, each of them has its part.  One clone
    alone would have the whole of it, and a further one then adds nothing.
    """
    ram = ram_figures(clones)
    alone = ram[0][1]
    beside = pagemap.cached_beside(machines[0].pid, path)
    pages, written = 0, []
    for machine, clone in zip(machines, clones):
        pages |= pagemap.touched(machine.pid, path)
        written.append(pagemap.written(machine.pid, path, *clone.ram))
    return {
        "clones": len(clones),
        "touched_mib": round((pages.bit_count() + beside)
                             / pagemap.PER_MIB, 2),
        "written_mib": round(mean(written) / pagemap.PER_MIB, 2),
        "further_mib": round((sum(share for share, _, _ in ram) - alone)
                             / max(len(ram) - 1, 1), 2),
        "own_mib": round(mean(own for _, _, own in ram), 2)}


def run_herd(plan, snap, mode, check):
    """One round of a mode: all clones from their start to their end"""
    left = drop_from_page_cache(snap.path)
    if left:
        plan.note(f"{mib(left)} of a snapshot stayed in the page cache")
    load_mode, parameters = HERDS[mode]
    with Herd(identities(plan.clones, plan.output, 0),
              lambda _: Guest(plan.qemu, plan.kernel, plan.initrd,
                              snap.memory, plan.accel,
                              ("-incoming", "defer"))) as herd:
        herd.start()
        machines = [machine for _, machine in herd.clones]
        watched = [Watched(machine, snap.memory) for machine in machines]
        results = run_clones(herd, load_mode, snap.path, parameters)
        figures = {
            "running_ms": max(each["running_ms"] for each in results),
            "output_ms": max(each["output_ms"] for each in results),
            "read_mib": round(sum(each["read_mib"] for each in results), 1),
            "pss_mib": round(mean(each["pss_mib"] for each in results), 1),
            **herd_figures(machines, watched, snap.path)}
        if check:
            figures["verified"] = is_right(plan, machines[-1], snap, mode)
        herd.end()
    return figures


def is_right(plan, machine, snap, mode):
    complaint = verify(machine, snap.fill, Quiet())
    if complaint:
        plan.note(f"NOT VERIFIED: {mode}: {complaint}")
    return complaint is None


def herd(plan):
    with snapshot(plan, FILLING, "light", plan.scale.clone_memory,
                  plan.scale.clone_fill) as snap:
        return in_turns(plan, f"{plan.clones} clones", {
            mode: lambda number, mode=mode: run_herd(plan, snap, mode,
                                                     number == 0)
            for mode in HERDS}, "output_ms")


# ---- guests at work ----

def at_work(plan):
    with snapshot(plan, FILLING, "random") as snap:
        plan.progress.start("clones")
        with with_set(plan, snap) as (copy, _):
            if not copy:
                raise Failure("this QEMU cannot record working sets")
            return in_turns(plan, "random", {
                name: lambda number, name=name: load_at_work(
                    plan, copy if MODES[name].has_set else snap, name,
                    number == 0)
                for name in CLONES_AT_WORK}, "full_ms")


def clones(plan):
    return {"sizes": sizes(plan), "herd": {"modes": herd(plan)},
            "work": {"modes": at_work(plan)},
            "rollback": {"modes": rollbacks(plan)}}
