# SPDX-License-Identifier: GPL-2.0-or-later
"""The section "deltas": saves of what has changed, and of guests that run on.

A part that this QEMU refuses is reported with QEMU's reason, and the others
are measured.
"""

from contextlib import contextmanager
import shutil

from fixed_ram.guest import Guest
from fixed_ram.qmp import QMPError
from fixed_ram.steps import boot, fill

from .chain import loads_of_chain, make_chain, merges
from .checkpoints import load_each, take_checkpoints
from .clonedeltas import clone_deltas
from .contents import contents
from .livesaves import is_right, live_saves, loads_right, saved_at_work
from .modes import PAGE_SIZES

FOLDER = "deltas"
HUGE, SMALL = PAGE_SIZES
# what is measured with a guest that was filled
PARTS = {"content": ("deltas by content", contents),
         "live": (f"live saves, {HUGE} pages", live_saves),
         "checkpoints": ("live deltas", take_checkpoints),
         "chain": ("a chain of deltas", make_chain)}


@contextmanager
def folder_of(plan):
    """For all files of the section; it is gone afterwards"""
    folder = plan.output / FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def filled_guest(plan):
    with Guest(plan.qemu, plan.kernel, plan.initrd, plan.memory,
               plan.accel) as guest:
        boot(guest, plan.progress)
        fill(guest, plan.fill, plan.progress)
        yield guest
        guest.quit()


def brief(result):
    measured = result.get("modes") or result.get("sizes") or {}
    return ", ".join(f"{name} {data['summary']['saved_ms']['median']:,.0f} ms"
                     for name, data in measured.items()) or "saved"


def unless_refused(plan, title, measure, *args):
    """What was measured, or why QEMU does not do that"""
    plan.progress.start("deltas")
    try:
        result = measure(plan, *args)
    except QMPError as e:
        plan.progress.done(f"{title}: not measured: {e}")
        return {"skipped": f"this QEMU refuses it: {e}"}
    plan.progress.done(f"{title}: {brief(result)}")
    return result


def of_a_guest(plan, folder):
    """All parts with the same guest, whose memory is in huge pages"""
    with filled_guest(plan) as guest:
        return {name: unless_refused(plan, title, measure, guest, folder)
                for name, (title, measure) in PARTS.items()}


def was_refused(part):
    return "skipped" in part


def live_in_small_pages(plan, path, folder):
    """The same guest, loaded: (whether it was right, what was measured)"""
    plan.progress.start("deltas")
    with saved_at_work(plan, path, "fixed-ram-small-pages") as (guest, _):
        right = is_right(plan, guest, path.name)
        return right, unless_refused(plan, f"live saves, {SMALL} pages",
                                     live_saves, guest, folder)


def last_is_right(saves, right):
    saves["modes"]["writer"]["runs"][-1]["verified"] = right


def finish_live(plan, huge, folder):
    """The writer's last save is verified when its guest is gone"""
    if was_refused(huge):
        return {HUGE: huge, SMALL: huge}
    right, small = live_in_small_pages(plan, huge.pop("last"), folder)
    last_is_right(huge, right)
    if not was_refused(small):
        last_is_right(small, loads_right(plan, small.pop("last")))
    return {HUGE: huge, SMALL: small}


def finish_checkpoints(plan, taken):
    return taken if was_refused(taken) else load_each(plan, taken)


def finish_chain(plan, made, folder):
    if was_refused(made):
        return {"chain": made, "merge": made}
    loads = loads_of_chain(plan, made)
    made["full"].unlink()
    return {"chain": loads, "merge": merges(plan, made["layers"], folder)}


def deltas(plan):
    """Parts of the report, each as soon as it is measured"""
    with folder_of(plan) as folder:
        parts = of_a_guest(plan, folder)
        yield {"content": parts["content"]}
        yield {"checkpoints": finish_checkpoints(plan, parts["checkpoints"])}
        yield finish_chain(plan, parts["chain"], folder)
        yield {"live": finish_live(plan, parts["live"], folder)}
    with folder_of(plan) as folder:
        yield {"clone": unless_refused(plan, "deltas of mapped guests",
                                       clone_deltas, folder)}
