# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests without any content, one of them with very much memory."""

import time

from fixed_ram.pagecache import drop_from_page_cache
from fixed_ram.qemu import Qemu
from fixed_ram.qmp import Failure
from fixed_ram.session import temporary_file
from fixed_ram.steps import capabilities

from .modes import DEMAND, OURS
from .turns import alternate

GIB = 2**10             # MiB
SMALL_MIB = 4 * GIB
# TCG's x86 CPUs address 1 TiB, and a part of that is not for memory
LARGE_MIB = 1000 * GIB
BIOS_S = 0.5            # it has found its memory, and no disk, by then
TIMEOUT_S = 300
FINAL = ("completed", "failed")


def machine(plan, size, *extra):
    """A host promises more memory than it has, unless it is to reserve it"""
    return Qemu(plan.qemu, [
        "-machine", f"pc,accel={plan.accel},memory-backend=ram",
        "-object", f"memory-backend-ram,id=ram,size={size}M,reserve=off",
        "-m", str(size), *extra])


def ask(qemu, names, command, path):
    """Begin a load or a save; returns when that was"""
    qemu.qmp.execute("migrate-set-capabilities",
                     capabilities("events", *names))
    start = time.monotonic()
    qemu.qmp.execute(command, {"uri": f"file:{path}"})
    return start


def wait_complete(qemu, what):
    when, event = qemu.qmp.wait_event("MIGRATION", TIMEOUT_S, status=FINAL)
    if event["data"]["status"] != "completed":
        info = qemu.qmp.execute("query-migrate")
        raise Failure(f"{what} failed: "
                      + info.get("error-desc", "QEMU does not say why"))
    return when


def save(plan, size, path):
    with machine(plan, size) as qemu:
        time.sleep(BIOS_S)
        qemu.qmp.execute("stop")
        start = ask(qemu, OURS, "migrate", path)
        saved = wait_complete(qemu, f"a save of {size} MiB")
        qemu.quit()
    drop_from_page_cache(path)
    return {"saved_ms": round((saved - start) * 1000, 2),
            "disk_mib": round(path.stat().st_blocks * 512 / 2**20, 2)}


def load(plan, size, path):
    """It was saved when stopped, so it is ready to run, and does not run"""
    with machine(plan, size, "-incoming", "defer") as qemu:
        start = ask(qemu, DEMAND, "migrate-incoming", path)
        wait_complete(qemu, f"a load of {size} MiB")
        ready = qemu.qmp.find_event("MIGRATION", status="postcopy-active")[0]
        qemu.quit()
    return {"running_ms": round((ready - start) * 1000, 2)}


def save_and_load(plan, size):
    with temporary_file(plan.output / "tera.snapshot") as path:
        return {**save(plan, size, path), **load(plan, size, path)}


def why_not(plan):
    """Why the host does not give so much memory, or None"""
    try:
        with machine(plan, LARGE_MIB) as qemu:
            qemu.quit()
    except Failure as e:
        return f"no guest of {LARGE_MIB // GIB:,} GiB: {e}"
    return None


def tera(plan):
    plan.progress.start("tera")
    reason = why_not(plan)
    if reason:
        plan.progress.done(reason)
        return {"skipped": reason}
    result = alternate(plan, "empty guests", {
        str(size): lambda _, size=size: save_and_load(plan, size)
        for size in (SMALL_MIB, LARGE_MIB)})
    plan.progress.done(describe(result))
    return {"small_mib": SMALL_MIB, "large_mib": LARGE_MIB, "sizes": result}


def describe(result):
    def of(name, key):
        return result[name]["summary"][key]["median"]

    return "; ".join(f"{int(name) // GIB:,} GiB: running after "
                     f"{of(name, 'running_ms'):.1f} ms, saved in "
                     f"{of(name, 'saved_ms'):,.0f} ms" for name in result)
