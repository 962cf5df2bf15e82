# SPDX-License-Identifier: GPL-2.0-or-later
"""One load of a snapshot, and what it is measured by."""

from contextlib import contextmanager, nullcontext
import re
import time

from fixed_ram import procfs
from fixed_ram.guest import Guest
from fixed_ram.hugepages import without_huge_pages
from fixed_ram.pagecache import bring_into_page_cache, drop_from_page_cache
from fixed_ram.qmp import Failure
from fixed_ram.steps import capabilities, verify, wait_loaded
from fixed_ram.text import mib

from . import rates
from .modes import ACTIVITIES, MODES

TOUCH_SEED = 7
ENOUGH_WARM = 0.98
LONGEST_WATCH_S = 15


class Prefixed:
    """Progress that says more than its user knows"""

    def __init__(self, progress, prefix):
        self._progress = progress
        self._prefix = prefix

    def update(self, text):
        self._progress.update(f"{self._prefix}: {text}")


class Watched:
    """A guest about to be loaded, and where its RAM is"""

    def __init__(self, guest, megabytes):
        self.guest = guest
        self.start = None
        table = guest.qmp.execute("human-monitor-command",
                                  {"command-line": "info ramblock"})
        found = re.search(r"^\s*pc\.ram\s.* (0x[0-9a-f]+) +r[wo]\s*$", table,
                          re.M)
        if not found:
            raise Failure("info ramblock does not say where the RAM is")
        self.ram = (int(found[1], 16), int(found[1], 16) + megabytes * 2**20)
        self._outside = self.memory().outside
        self._cpu = procfs.cpu_seconds(guest.pid)

    def memory(self):
        return procfs.memory(self.guest.pid, *self.ram)

    def go(self, path):
        self.guest.mark_read_bytes()
        self.start = time.monotonic()
        self.guest.qmp.execute("migrate-incoming", {"uri": f"file:{path}"})

    def ms(self, when):
        return round((when - self.start) * 1000, 2)

    def at_the_end(self):
        """Figures to be taken right when all is loaded"""
        cpu = procfs.cpu_seconds(self.guest.pid) - self._cpu
        peak = procfs.peak_kib(self.guest.pid)
        now = self.memory()
        return {
            "cpu_s": round(cpu, 2),
            "read_bytes": self.guest.read_bytes(),
            "extra_mib": round((peak - now.inside - self._outside) / 1024, 1),
            "resident_mib": round(now.inside / 1024, 1),
        }

    def settled_huge_pages(self, scale):
        """Guest memory in huge pages, when it has stopped changing"""
        start = time.monotonic()
        end = start + scale.settle_s
        last, since = None, 0
        while True:
            huge, now = self.memory().huge, time.monotonic()
            if huge != last:
                last, since = huge, now
            if now - since >= scale.quiet_s or now >= end:
                return {"huge_mib": round(last / 1024, 1),
                        "settled_s": round(since - start, 1)}
            time.sleep(0.1)


def set_cache(mode, snapshot, plan):
    if mode.warm:
        share = bring_into_page_cache(snapshot.path, snapshot.bridged)
        if share < ENOUGH_WARM:
            plan.note(f"a warm load found {100 * share:.0f} % of the file in "
                      "the page cache")
    else:
        left = drop_from_page_cache(snapshot.path)
        if left:
            plan.note(f"{mib(left)} of a snapshot stayed in the page cache")


def fault_figures(info):
    ours = info.get("fixed-ram", {})
    latency = ours.get("fault-latency", {})
    replay = ours.get("working-set", {})
    return {"set_pages": replay.get("pages"),
            "set_placed": replay.get("placed"),
            "faults_outside": replay.get("faults-outside"),
            "faults": ours.get("faults"),
            "fault_p50_us": latency.get("p50"),
            "fault_p99_us": latency.get("p99"),
            "fault_max_us": latency.get("max")}


def prepare(guest, mode):
    guest.qmp.execute("migrate-set-capabilities",
                      capabilities("events", *mode.capabilities))
    if mode.parameters:
        guest.qmp.execute("migrate-set-parameters", mode.parameters)


def start_activity(guest, activity, snapshot):
    """What was idle when it was saved begins to work"""
    if activity.on_resume:
        guest.qmp.wait_event("RESUME", 600)
        guest.serial.send(f"{activity.command} "
                          f"{activity.argument or snapshot.fill}")


def start_touching(guest, mode, snapshot):
    guest.qmp.wait_event("RESUME", 600)
    return guest.serial.send(f"touch {mode.touches} {TOUCH_SEED} "
                             f"{snapshot.fill}")


def touch_figures(guest, mark):
    got = guest.serial.wait_line(r"^touch (\w+) n=\d+ us=(\d+) max_us=(\d+)",
                                 600, mark)
    if got[1] != "ok":
        raise Failure(f"the guest says: {got.string}")
    return {"touch_s": int(got[2]) / 1e6, "touch_max_us": int(got[3])}


@contextmanager
def loading(plan, snapshot, mode, extra=()):
    """A guest whose load has just begun: (guest, Watched)

    extra: further options of its QEMU
    """
    set_cache(mode, snapshot, plan)
    pages = without_huge_pages if mode.small_pages else nullcontext
    qemu, options = plan.qemu, ("-incoming", "defer", *extra)
    if mode.peer:
        qemu, options = plan.peer, (*options, "-machine", plan.machine_type)
    with pages(), Guest(qemu, plan.kernel, plan.initrd, snapshot.memory,
                        plan.accel, options) as guest:
        prepare(guest, mode)
        watched = Watched(guest, snapshot.memory)
        watched.go(snapshot.path)
        yield guest, watched


def start_figures(guest, watched):
    return {"running_ms": watched.ms(guest.qmp.wait_event("RESUME", 30)[0]),
            "first_output_ms": watched.ms(guest.serial.wait_first_byte(60))}


def load(plan, snapshot, name, check=False, settle=True):
    """One load; its figures"""
    mode = MODES[name]
    activity = ACTIVITIES[snapshot.activity]
    progress = Prefixed(plan.progress, name)
    with loading(plan, snapshot, mode) as (guest, watched):
        if mode.touches:
            mark = start_touching(guest, mode, snapshot)
        loaded = wait_loaded(guest, name, snapshot.data_bytes, progress)
        result = {"loaded_ms": watched.ms(loaded), **watched.at_the_end(),
                  **start_figures(guest, watched)}
        result.update(fault_figures(guest.qmp.execute("query-migrate")))
        if mode.touches:
            result.update(touch_figures(guest, mark))
        if settle:
            result.update(watched.settled_huge_pages(plan.scale))
        watch(guest, activity, watched,
              max(loaded, guest.serial.first_byte), plan)
        result.update(rates.figures(guest.serial.lines, watched, loaded,
                                    activity))
        if check:
            finish(guest, snapshot, activity, progress, plan, result)
        guest.quit()
    return result


def watch(guest, activity, watched, loaded, plan):
    """Work is watched for a while, longer if it has not come up to rate"""
    if activity.command != "work":
        return
    until = loaded + plan.scale.watch_s
    time.sleep(max(0, until - time.monotonic()))
    while time.monotonic() < until + LONGEST_WATCH_S:
        figures = rates.figures(guest.serial.lines, watched, loaded, activity)
        if figures.get("ninety_ms"):
            break
        time.sleep(0.25)


def finish(guest, snapshot, activity, progress, plan, result):
    complaint = verify(guest, snapshot.fill, progress, activity.command)
    result["verified"] = complaint is None
    if complaint:
        plan.note(f"NOT VERIFIED: {complaint}")
