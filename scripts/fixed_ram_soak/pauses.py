# SPDX-License-Identifier: GPL-2.0-or-later
"""What makes a load wait, what is done meanwhile, and how it goes on."""

import errno
from random import Random
import time

from . import disk
from .vm import GuestLost

ERRORS = (errno.EIO, errno.ESTALE, errno.ENXIO, errno.EREMOTEIO,
          errno.ETIMEDOUT, errno.ENOSPC)
TRANSIENT = {"EINTR": errno.EINTR, "EAGAIN": errno.EAGAIN}
ALWAYS = 2**64 - 1


def by_command(run, action, _rng):
    mark = run.vm.mark()
    answer = run.vm.ask("migrate-pause", oob=True)
    if not answer.ok:
        if run.vm.loaded():
            return "over"
        raise GuestLost(answer.why)
    return in_pause(run, action, mark,
                    lambda: run.lineage.uri(run.reading))


def by_truncating(run, action, rng):
    """The file loses its end; the load goes on from it, or from a copy"""
    mark = run.vm.mark()
    with disk.Truncated(run.reading, run.spare, rng.random() ** 2) as cut:
        def repair():
            cut.repair()
            if rng.random() < 0.5:
                run.reading, run.spare = run.spare, run.reading
            return run.lineage.uri(run.reading)

        return in_pause(run, action, mark, repair)


def by_disk_error(run, action, rng):
    """Reads fail, once or until they are mended"""
    if not run.faults:
        return "no library"
    run.faults.target(run.reading)
    mark = run.vm.mark()
    after = rng.choice((0, rng.randrange(20)))
    times = rng.choice((1, 2, ALWAYS, ALWAYS))
    if rng.random() < 0.2:
        times = ALWAYS
        run.faults.short(first=rng.randrange(run.reading.stat().st_size),
                         after=after)
    else:
        run.faults.fail(rng.choice(ERRORS), after=after, times=times,
                        every=rng.choice((1, 1, 3)))

    def repair():
        if times == ALWAYS and rng.random() < 0.5:
            recover_too_early(run)
        run.faults.off()
        return run.lineage.uri(run.reading)

    return in_pause(run, action, mark, repair)


def by_disk_hang(run, action, rng):
    """Reads do not come back for some time, which does not pause the load"""
    if not run.faults:
        return "no library"
    run.faults.target(run.reading)
    run.faults.hang(after=rng.randrange(5))
    run.paused = True
    for inner in action.inner:
        time.sleep(inner.delay)
        run.act(inner)
    run.faults.off()
    run.paused = False
    run.collect_pending()
    run.world.count("pauses", "disk hangs")
    return "ok"


KINDS = {"pause": by_command, "truncate": by_truncating,
         "disk-error": by_disk_error, "disk-hang": by_disk_hang}


def act(run, action):
    if run.vm.migration() != "postcopy-active":
        return "over"
    return KINDS[action.name](run, action, Random(action.seed))


def in_pause(run, action, mark, repair):
    """Wait for the pause, do what is done in it, and recover

    repair() sees to it that there is a good file and returns its URI
    """
    wait_paused(run, mark)
    if run.vm.loaded():
        repair()
        return "over"
    run.paused = True
    run.world.count("pauses", action.name)
    for inner in action.inner:
        time.sleep(inner.delay)
        run.act(inner)
    recover(run, repair())
    return "ok"


def wait_paused(run, mark):
    run.vm.wait_for(lambda: run.vm.loaded()
                    or "postcopy-paused" in run.vm.statuses(mark), "pause")


def recover_too_early(run):
    """The disk still fails: refused, or paused anew"""
    mark = run.vm.mark()
    answer = run.vm.ask("migrate-recover",
                        {"uri": run.lineage.uri(run.reading)}, oob=True)
    if answer.ok:
        wait_paused(run, mark)
    run.world.count("pauses", "recovered too early"
                    if "postcopy-recover" in run.vm.statuses(mark)
                    else "recovery refused")


def recover(run, uri):
    mark = run.vm.mark()
    answer = run.vm.ask("migrate-recover", {"uri": uri}, oob=True)
    if not answer.ok and not run.vm.loaded():
        raise GuestLost(f"not recovered: {answer.why}")
    run.vm.wait_for(lambda: run.vm.loaded() or
                    {"postcopy-recover", "postcopy-paused"} &
                    set(run.vm.statuses(mark)), "recovery")
    if not run.vm.loaded() and \
            "postcopy-recover" not in run.vm.statuses(mark):
        raise GuestLost(f"not recovered from {uri}")
    run.paused = False
    run.world.count("pauses", "recovered")
    run.collect_pending()
