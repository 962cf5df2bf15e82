# SPDX-License-Identifier: GPL-2.0-or-later
"""The steps of saving and loading a guest."""

import os
import time

from .qmp import Failure
from .text import fraction, mib, rate

BOOT_S = 180
LOAD_S = 1800


def capabilities(*names, state=True):
    return {"capabilities": [{"capability": name, "state": state}
                             for name in names]}


def boot(guest, progress):
    progress.start("boot")
    start = time.monotonic()
    guest.serial.wait_line(
        "^ready$", BOOT_S,
        idle=lambda: progress.update(f"{time.monotonic() - start:.1f} s"))
    progress.done(f"Linux up after {time.monotonic() - start:.1f} s")


def fill(guest, size, progress, fragmented=False):
    progress.start("fill")
    start = time.monotonic()

    def each(text):
        if text.startswith("fill "):
            progress.update(f"{text[5:]} of {size} MiB")

    guest.command(f"fill {size}" + (" fragmented" if fragmented else ""),
                  "^fill ok", 3600, each)
    progress.done(f"{size} MiB, every page with content of its own"
                  + (", every eighth zero" if fragmented else "")
                  + f", in {time.monotonic() - start:.1f} s")


def save(guest, path, progress, capability="fixed-ram"):
    """Save the running guest; it stops by itself at the end"""
    progress.start("save")
    start = time.monotonic()
    guest.qmp.execute("migrate-set-capabilities", capabilities(capability))
    # the default is 128 MiB/s
    guest.qmp.execute("migrate-set-parameters", {"max-bandwidth": 0})
    guest.qmp.execute("migrate", {"uri": f"file:{path}"})
    while True:
        info = guest.qmp.execute("query-migrate")
        status = info.get("status")
        if status == "completed":
            break
        if status in ("failed", "cancelled"):
            raise Failure("saving failed: "
                          + info.get("error-desc", "QEMU does not say why"))
        ram = info.get("ram")
        if ram:
            done = ram["total"] - ram["remaining"]
            progress.update(f"{fraction(done, ram['total'])} of RAM")
        time.sleep(0.2)
    guest.quit()
    seconds = time.monotonic() - start
    size = os.stat(path).st_blocks * 512
    progress.done(f"{mib(size)} in {seconds:.1f} s ({rate(size, seconds)}): "
                  f"{path}")
    return size


def wait_loaded(guest, mode, size, progress):
    """Wait for the load's end, and say so; returns when it came"""
    end = time.monotonic() + LOAD_S
    final = ("completed", "failed", "cancelled", "postcopy-paused")
    while True:
        try:
            when, event = guest.qmp.wait_event("MIGRATION", 0.25,
                                               status=final)
            break
        except TimeoutError:
            if time.monotonic() > end:
                raise Failure(f"{mode} load: not complete within {LOAD_S} s") \
                    from None
        running = guest.qmp.find_event("RESUME") is not None
        progress.update(f"{fraction(guest.read_bytes(), size)} read"
                        + (", the guest runs" if running else ""))
    status = event["data"]["status"]
    if status != "completed":
        info = guest.qmp.execute("query-migrate", timeout=10)
        raise Failure(f"{mode} load {status}: "
                      + info.get("error-desc", "QEMU does not say why"))
    return when


def verify(guest, size, progress, activity="tick"):
    """None if the guest finds every page as it was filled, else what it says

    activity: the command that the guest does meanwhile, to be ended first
    """
    guest.command(f"{activity} 0", f"^{activity} off$", 60)

    def each(text):
        if text.startswith("verify "):
            progress.update(f"verify: {text[7:]} of {size} MiB")

    answer = guest.command("verify", "^verify (ok|BAD).*", 3600, each)[0]
    bad = [text for _, text in guest.serial.lines
           if text.startswith(f"{activity} BAD")]
    if not answer.startswith("verify ok"):
        return answer
    return bad[0] if bad else None
