# SPDX-License-Identifier: GPL-2.0-or-later
"""What is done to a guest whose RAM is still being loaded.

An action is a function of the load under way (loading.py) and of a random
generator of its own. It returns how it went, in a word, and raises GuestLost
where it went as it must not.
"""

import re

from . import disk
from .devices import plug_dimm, plug_rng, resize_virtio_mem, unplug
from .vm import GuestLost

LOADING = "still being loaded|being loaded already"
WAITING = LOADING + "|waiting for an incoming|[Ii]ncoming migration|inmigrate"


# ------------------------------------------------------------ the guest

def stop(run, _rng):
    run.must("stop")
    return "ok"


def cont(run, _rng):
    return "ok" if run.cont() else "over"


def balloon(run, rng):
    if not run.vm.machine.balloon:
        return "no device"
    return run.either("balloon", {"value": run.balloon_target(rng) << 20},
                      "not been activated")


def touch(run, rng):
    run.touch(rng.randint(1, 300), rng.randrange(1 << 30))
    return "ok"


# ------------------------------------------------------------ what would save

def migrate(run, _rng):
    """If it comes too late to be refused the guest is saved while it runs, which
    not every guest can: see Lineage.one_block()
    """
    one_block = run.lineage.one_block() and not run.devices.dimms
    if not one_block and run.vm.loaded():
        return "over"
    stray = run.world.dir / "stray"
    return run.refused("migrate", {"uri": f"file:{stray}"}, WAITING)


def hmp_refused(run, line):
    if not run.vm.machine.disk:
        return "no device"
    text = run.hmp(line).strip()
    return disk_snapshot_refused(line, not text, text)


def disk_snapshot_refused(what, ok, why):
    """Also when all of RAM is there: the capability for files is still set"""
    if ok:
        raise GuestLost(f"{what} was not refused")
    if not re.search(WAITING + "|clear it first", why):
        raise GuestLost(f"{what} was refused, but why? {why}")
    return "refused"


def savevm(run, _rng):
    return hmp_refused(run, "savevm stray")


def loadvm(run, rng):
    return hmp_refused(run, f"loadvm {rng.choice(('disk-only', 'none'))}")


def snapshot_job(run, command, rng):
    if not run.vm.machine.disk:
        return "no device"
    job = f"job{rng.randrange(1 << 30)}"
    mark = run.vm.mark()
    answer = run.ask(command, {"job-id": job, "tag": "disk-only",
                               "vmstate": "disk0", "devices": ["disk0"]})
    if not answer.ok:
        return disk_snapshot_refused(command, False, answer.why)
    run.wait_event("JOB_STATUS_CHANGE", mark, id=job, status="concluded")
    for info in run.must("query-jobs"):
        if info["id"] == job:
            run.must("job-dismiss", {"id": job})
            return disk_snapshot_refused(command, "error" not in info,
                                         info.get("error", ""))
    raise GuestLost(f"{command}: the job is gone")


def snapshot_save(run, rng):
    return snapshot_job(run, "snapshot-save", rng)


def snapshot_load(run, rng):
    return snapshot_job(run, "snapshot-load", rng)


# ------------------------------------------------------------ migration

def second_incoming(run, _rng):
    return run.refused("migrate-incoming", {"uri": run.lineage.uri()}, ".")


def migrate_cancel(run, _rng):
    return run.either("migrate_cancel", None, ".")


def start_postcopy(run, _rng):
    return run.either("migrate-start-postcopy", None, ".")


def recover_unpaused(run, _rng):
    return run.refused("migrate-recover", {"uri": run.lineage.uri()},
                       "only be run when postcopy is paused|is not paused",
                       oob=True)


def recover_wrongly(run, rng):
    """From what is not the snapshot, during a pause"""
    mark = run.vm.mark()
    answer = run.vm.ask("migrate-recover", {
        "uri": f"file:{rng.choice(('/dev/null', '/nonexistent', run.wrong()))}"
    }, oob=True)
    if not answer.ok:
        return "refused"
    run.vm.wait_for(lambda: run.vm.loaded()
                    or "postcopy-paused" in run.vm.statuses(mark), "refusal")
    if "postcopy-recover" in run.vm.statuses(mark):
        raise GuestLost("migrate-recover took a wrong file")
    return "failed"


def parameters(run, rng):
    run.must("migrate-set-parameters", rng.choice((
        {"max-postcopy-bandwidth": rng.randint(5, 300) << 20},
        {"max-bandwidth": rng.randint(1, 1000) << 20},
        {"downtime-limit": rng.randint(1, 2000)},
        {"multifd-channels": rng.randint(1, 16)},
        {"direct-io": rng.random() < 0.5},
        {"fixed-ram-precopy-percent": rng.randint(0, 100)})))
    return "ok"


def capability(run, rng):
    load = run.load
    name = rng.choice(("postcopy-ram", "multifd", "mapped-ram"))
    now = {"postcopy-ram": load.demand, "multifd": load.channels > 0,
           "mapped-ram": True}[name]
    return run.refused("migrate-set-capabilities", {"capabilities": [
        {"capability": name, "state": not now}]},
        "cannot be changed while|includes 'mapped-ram'|in progress|" + LOADING)


def lock(run, rng):
    """Other loaders may have the file, a saver may not"""
    exclusive = rng.random() < 0.7
    got = disk.try_lock(run.reading, run.lineage.offset, exclusive)
    if run.vm.loaded():
        return "over"
    if got == exclusive:
        raise GuestLost(f"{'an exclusive' if exclusive else 'no shared'} lock "
                        "during the load")
    return "ok" if got else "refused"


# ------------------------------------------------------------ looking

def query(run, rng):
    run.must(rng.choice((
        "query-migrate", "query-status", "query-memory-size-summary",
        "query-memory-devices", "query-cpus-fast", "query-block",
        "query-blockstats", "query-dirty-rate", "query-jobs", "query-pci",
        "query-migrate-parameters", "query-migrate-capabilities",
        "query-iothreads", "query-memdev", "query-hotpluggable-cpus",
        "query-named-block-nodes", "query-rx-filter", "query-chardev")))
    return "ok"


def info(run, rng):
    line = rng.choice((
        "info migrate", "info registers -a", "info mtree", "info ramblock",
        "info mem", "info tlb", "info lapic", "info numa", "info qtree",
        "info balloon", "info roms", "info memory-devices", "info jit"))
    return "waits" if run.hmp(line) is None else "ok"


def read_memory(run, rng):
    """By the monitor, as a debugger does it"""
    address = rng.randrange(run.vm.machine.memory << 20) & ~0xfff
    return "waits" if run.hmp(f"xp /512xg {address:#x}") is None else "ok"


def dirty_rate(run, rng):
    return run.either("calc-dirty-rate", {
        "calc-time": 1, "mode": rng.choice(("page-sampling", "dirty-bitmap")),
    }, "still measuring|already being measured")


def pmemsave(run, rng):
    size = rng.choice((4096, 1 << 20, 16 << 20))
    start = rng.randrange((run.vm.machine.memory << 20) - size) & ~0xfff
    path = run.world.dir / "pmemsave"
    run.must("pmemsave", {"val": start, "size": size, "filename": str(path)})
    if path.stat().st_size != size:
        raise GuestLost(f"pmemsave wrote {path.stat().st_size} bytes")
    path.unlink()
    return "ok"


def dump(run, rng):
    size = rng.choice((1, 16, 64)) << 20
    start = rng.randrange((run.vm.machine.memory << 20) - size) & ~0xfff
    path = run.world.dir / "dump"
    done = run.either("dump-guest-memory", {
        "paging": False, "protocol": f"file:{path}", "format": "elf",
        "begin": start, "length": size}, "There is a dump in process|invalid")
    path.unlink(missing_ok=True)
    return done


def screendump(run, _rng):
    if not run.vm.machine.video:
        return "no device"
    path = run.world.dir / "screendump"
    run.must("screendump", {"filename": str(path)})
    path.unlink()
    return "ok"


# ------------------------------------------------------------ how often

# Those that go through in a load of any kind, and need no running guest.
EAGER = ((query, 4), (info, 2), (migrate, 2), (second_incoming, 2),
         (parameters, 1), (capability, 1), (lock, 1))
# During a pause.
PAUSED = EAGER + (
    (stop, 2), (cont, 2), (touch, 3), (savevm, 1), (loadvm, 1),
    (snapshot_save, 1), (snapshot_load, 1), (migrate_cancel, 1),
    (balloon, 2), (recover_wrongly, 4), (dirty_rate, 1), (read_memory, 1),
    (pmemsave, 1), (plug_rng, 1), (plug_dimm, 1), (unplug, 1),
    (start_postcopy, 1), (dump, 1), (screendump, 1))
# While the guest runs on RAM that is not all there.
DURING = EAGER + (
    (stop, 3), (cont, 4), (touch, 4), (savevm, 2), (loadvm, 2),
    (snapshot_save, 1), (snapshot_load, 1), (migrate_cancel, 2),
    (balloon, 4), (recover_unpaused, 1), (dirty_rate, 2), (read_memory, 2),
    (pmemsave, 2), (dump, 2), (screendump, 1), (plug_rng, 2), (plug_dimm, 2),
    (unplug, 3), (resize_virtio_mem, 2), (start_postcopy, 1))

BY_NAME = {f.__name__.replace("_", "-"): f
           for table in (EAGER, PAUSED, DURING) for f, _ in table}
EARLY = {f.__name__.replace("_", "-") for f, _ in EAGER}


def names(table):
    return tuple((f.__name__.replace("_", "-"), weight)
                 for f, weight in table)
