# SPDX-License-Identifier: GPL-2.0-or-later
"""Ways back to a snapshot, again and again: fixed-ram-rollback and loadvm."""

from contextlib import contextmanager
from dataclasses import replace
import time

from fixed_ram import pagemap
from fixed_ram.child import run
from fixed_ram.qmp import Failure
from fixed_ram.session import temporary_file
from fixed_ram.steps import capabilities, wait_loaded

from .load import Prefixed, loading
from .modes import MODES
from .snapshot import snapshot
from .turns import alternate

MEMORY_MIB, FILL_MIB = 256, 64
WRITTEN_MIB = 4             # by the guest, before it goes back
DISK = "rollback.qcow2"
TAG = "begin"


@contextmanager
def loaded(plan, snap, name, extra=()):
    """A guest whose load has ended: (guest, Watched)"""
    with loading(plan, snap, MODES[name], extra) as (guest, watched):
        wait_loaded(guest, name, snap.data_bytes, Prefixed(plan.progress, name))
        guest.qmp.wait_event("RESUME", 30)
        yield guest, watched
        guest.quit()


def hmp(guest, line):
    """The human monitor's command fails by what it prints"""
    said = guest.qmp.execute("human-monitor-command", {"command-line": line})
    if said.strip():
        raise Failure(f"{line}: {said.strip()}")


@contextmanager
def loaded_with_disk(plan, snap):
    """The same guest, with a disk that holds its state for loadvm"""
    with temporary_file(plan.output / DISK) as disk:
        run([plan.qemu_img, "create", "-q", "-f", "qcow2", disk, "64M"], 60)
        drive = f"if=none,id=state,format=qcow2,file={disk}"
        with loaded(plan, snap, "fixed-ram", ("-drive", drive)) as (guest, _):
            # the base's own format, as by a savevm without our capability
            guest.qmp.execute("migrate-set-capabilities",
                              capabilities("fixed-ram", state=False))
            hmp(guest, f"savevm {TAG}")
            yield guest


def write(guest):
    guest.command(f"fill {WRITTEN_MIB}", "^fill ok", 60)


def timed(guest, go_back):
    """ms from the command until it has returned and the guest runs"""
    guest.qmp.events.clear()
    start = time.monotonic()
    go_back()
    returned = time.monotonic()
    running = guest.qmp.wait_event("RESUME", 30)[0]
    return round((max(returned, running) - start) * 1000, 2)


def is_back(plan, guest, name):
    """What was filled before the save is there again, all of it"""
    answer = guest.command("verify", "^verify (ok|BAD).*", 600)[0]
    if answer != f"verify ok pages={FILL_MIB * pagemap.PER_MIB}":
        plan.note(f"NOT VERIFIED: {name}: {answer}")
        return False
    return True


def roll_back(plan, snap, guest, ram):
    write(guest)
    written = pagemap.written(guest.pid, snap.path, *ram)
    return {"written_mib": round(written / pagemap.PER_MIB, 2),
            "back_ms": timed(guest, lambda: guest.qmp.execute(
                "fixed-ram-rollback")),
            "verified": is_back(plan, guest, "rollback")}


def load_vm(plan, guest):
    write(guest)
    return {"back_ms": timed(guest, lambda: hmp(guest, f"loadvm {TAG}")),
            "verified": is_back(plan, guest, "loadvm")}


def rollbacks(plan):
    """Both guests are there all the time, each idle during the other's turn"""
    often = replace(plan, rounds=plan.scale.rollbacks)
    with snapshot(plan, "contiguous", "idle", MEMORY_MIB, FILL_MIB) as snap, \
            loaded(plan, snap, "mapped") as (mapped, watched), \
            loaded_with_disk(plan, snap) as other:
        plan.progress.start("clones")
        result = alternate(often, "back to the snapshot", {
            "rollback": lambda _: roll_back(plan, snap, mapped, watched.ram),
            "loadvm": lambda _: load_vm(plan, other)})
    plan.progress.done("back to the snapshot: " + ", ".join(
        f"{name} {data['summary']['back_ms']['median']:.1f} ms"
        for name, data in result.items()))
    return result
