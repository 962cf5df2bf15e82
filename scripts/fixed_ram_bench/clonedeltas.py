# SPDX-License-Identifier: GPL-2.0-or-later
"""Deltas of guests whose RAM is a mapping of the base."""

from .changes import change
from .modes import CHANGES
from .rollback import loaded
from .save import check, save
from .snapshot import snapshot
from .turns import alternate


def clone_delta(plan, snap, path, number):
    with loaded(plan, snap, "mapped") as (guest, _):
        change(guest, plan.scale.delta_written, CHANGES["runs"], number)
        result = save(guest, path, "fixed-ram", snap.path)
    if number == 0:
        result["checked"] = check(plan, path, "fixed-ram")
    return result


def clone_deltas(plan, folder):
    return {"sizes": of_sizes(plan, plan.delta_sizes, {},
                              folder / "delta.snapshot")}


def of_sizes(plan, missing, snaps, path):
    """All bases exist while any guest is loaded, for they take turns"""
    if not missing:
        plan.progress.start("deltas")
        return alternate(plan, "mapped guests", {
            str(size): lambda number, snap=snap: clone_delta(
                plan, snap, path, number)
            for size, snap in snaps.items()})
    size = missing[0]
    with snapshot(plan, "contiguous", "idle", size,
                  plan.filled(size)) as snap:
        return of_sizes(plan, missing[1:], {**snaps, size: snap}, path)
