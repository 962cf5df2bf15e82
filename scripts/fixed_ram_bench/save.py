# SPDX-License-Identifier: GPL-2.0-or-later
"""One save of a stopped guest, and what it is measured by."""

import os
import time

from fixed_ram import procfs
from fixed_ram.child import finish
from fixed_ram.qmp import Failure
from fixed_ram.steps import capabilities

from .modes import EVERY_SAVE, SAVE_DEFAULTS

SAVE_S = 1800
CHECK_S = 600
MIB = 2**20
FINAL = ("completed", "failed", "cancelled")
# what qemu-snapshot check says
GOOD, NOTHING_TO_VERIFY_BY = 0, 3


def stop(guest):
    """QEMU does not save twice what it has saved, unless it ran in between"""
    if guest.qmp.execute("query-status")["status"] == "postmigrate":
        guest.qmp.execute("cont")
    guest.qmp.execute("stop")


def prepare(guest, mode, base):
    """Nothing of the mode before stays"""
    every = {name for each in EVERY_SAVE.values() for name in each.capabilities}
    guest.qmp.execute("migrate-set-capabilities",
                      capabilities(*sorted(every), state=False))
    guest.qmp.execute("migrate-set-capabilities",
                      capabilities("events", *mode.capabilities))
    if mode.parameters is not None:
        guest.qmp.execute("migrate-set-parameters",
                          {**SAVE_DEFAULTS, **mode.parameters})
    if base is not None:
        guest.qmp.execute("migrate-set-parameters",
                          {"fixed-ram-base": str(base)})


def make_way(path):
    """No file of that name, and nothing of it that the disk is busy with"""
    path.unlink(missing_ok=True)
    flush(path.parent)


def flush(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class Usage:
    """What QEMU takes, from now on"""

    def __init__(self, pid):
        self.pid = pid
        procfs.reset_peak(pid)
        self._cpu = procfs.cpu_seconds(pid)
        self._written = procfs.written_bytes(pid)
        self._resident = procfs.status_kib(pid, "VmRSS")
        self._tables = procfs.status_kib(pid, "VmPTE")

    def figures(self):
        """Looking at memory that was never touched shows in page tables"""
        resident = procfs.peak_kib(self.pid) - self._resident
        tables = procfs.status_kib(self.pid, "VmPTE") - self._tables
        return {
            "cpu_s": round(procfs.cpu_seconds(self.pid) - self._cpu, 2),
            "written_bytes": procfs.written_bytes(self.pid) - self._written,
            "rss_mib": round(resident / 1024, 1),
            "tables_mib": round(tables / 1024, 1),
        }


def wait_saved(guest, name):
    """When it was complete; returns once another one may begin"""
    when, event = guest.qmp.wait_event("MIGRATION", SAVE_S, status=FINAL)
    if event["data"]["status"] != "completed":
        info = guest.qmp.execute("query-migrate")
        raise Failure(f"{name} save {info.get('status')}: "
                      + info.get("error-desc", "QEMU does not say why"))
    return when


def is_done(guest, path, mode):
    if mode.is_live:
        return not procfs.has_open(guest.pid, path)
    return guest.qmp.execute("query-status")["status"] == "postmigrate"


def settle(guest, path, mode):
    """The event comes a little before QEMU is done"""
    end = time.monotonic() + 60
    while not is_done(guest, path, mode):
        if time.monotonic() > end:
            raise Failure("QEMU does not end a save that is complete")
        time.sleep(0.01)


def save(guest, path, name, base=None):
    """One save; its figures

    base: the snapshot that a delta is saved to, "" for none; None where no
    save of this guest has a base
    """
    mode = EVERY_SAVE[name]
    prepare(guest, mode, base)
    make_way(path)
    if not mode.is_live:
        stop(guest)
    guest.qmp.events.clear()
    usage = Usage(guest.pid)
    start = time.monotonic()
    guest.qmp.execute("migrate", {"uri": f"file:{path}"})
    saved = wait_saved(guest, name) - start
    flush(path)
    stable = time.monotonic() - start
    settle(guest, path, mode)
    ram = guest.qmp.execute("query-migrate")["ram"]
    return {"saved_ms": round(saved * 1000, 2),
            "stable_ms": round(stable * 1000, 2), **usage.figures(),
            "pages_bytes": ram["normal-bytes"],
            "disk_bytes": path.stat().st_blocks * 512}


def with_rates(result, data_bytes):
    """MiB/s: of the guest's data, and of what QEMU made of it"""
    saved, stable = (result[key] / 1000 for key in ("saved_ms", "stable_ms"))
    return {**result,
            "mib_s": round(data_bytes / saved / MIB, 1),
            "stable_mib_s": round(data_bytes / stable / MIB, 1),
            "issued_mib_s": round(result["written_bytes"] / saved / MIB, 1),
            "disk_share": round(result["disk_bytes"] / data_bytes, 4)}


def check(plan, path, name):
    """What qemu-snapshot finds in the file"""
    if not plan.snapshot_tool.is_file():
        plan.note(f"{plan.snapshot_tool.name} is not built: no saved file "
                  "was verified")
        return "no tool"
    status, out, err = finish([plan.snapshot_tool, "check", path], CHECK_S)
    if status == GOOD:
        return "good"
    if status == NOTHING_TO_VERIFY_BY:
        if EVERY_SAVE[name].has_sums:
            plan.note(f"{name} wrote no checksums")
        return "nothing to verify by"
    said = " | ".join((err or out).strip().split("\n"))[-300:]
    plan.note(f"NOT VERIFIED: saved by {name}: {said}")
    return "bad"
