# SPDX-License-Identifier: GPL-2.0-or-later
"""All clones of one run: started, loaded, measured and ended together."""

from concurrent.futures import ThreadPoolExecutor
import threading
import time

from fixed_ram import procfs
from fixed_ram.qmp import Failure, Lost
from fixed_ram.steps import capabilities

START_S = 120
LOAD_S = 300
MODES = ("mapped", "on-demand", "eager")
# The guest starts at the first of these.
STARTED = {"mapped": ("completed",), "eager": ("completed",),
           "on-demand": ("postcopy-active", "completed")}
NOT_YET = ("inmigrate",)


class Herd:
    """Use it in a `with`: it ends every clone, by its process

    start(identity) returns a Machine that waits for migrate-incoming. Each
    clone has a thread of ours, so that no clone waits for another one.
    """

    def __init__(self, identities, start):
        self.identities = list(identities)
        self.clones = []                    # (identity, machine)
        self._start = start
        self._lock = threading.Lock()
        self._ending = False
        self._pool = ThreadPoolExecutor(len(self.identities))

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        with self._lock:
            self._ending = True
            clones, self.clones = self.clones, []
        for _, machine in clones:
            machine.__exit__(None, None, None)
        # A thread that waits for a clone sees that it has ended.
        self._pool.shutdown()

    def _started(self, identity):
        machine = self._start(identity)
        with self._lock:
            if not self._ending:
                self.clones.append((identity, machine))
                return
        machine.__exit__(None, None, None)

    def start(self):
        for future in [self._pool.submit(self._started, identity)
                       for identity in self.identities]:
            future.result(START_S)
        self.clones.sort(key=lambda clone: clone[0].number)

    def each(self, function, *args):
        """function(machine, *args) for all at once; the results, in order"""
        futures = [self._pool.submit(function, machine, *args)
                   for _, machine in self.clones]
        return [self._result(*clone, future) for clone, future
                in zip(self.clones, futures)]

    def _result(self, identity, machine, future):
        try:
            return future.result(LOAD_S)
        except Lost as e:
            self.clones.remove((identity, machine))
            try:
                machine.__exit__(type(e), e, e.__traceback__)
            except Failure as why:
                raise Failure(f"{identity.name}: {why}") from e
            raise
        except Failure as e:
            raise Failure(f"{identity.name}: {e}") from e

    def end(self):
        """In good order, as far as they still answer"""
        self.each(lambda machine: machine.quit())


# ------------------------------------------------------------- one clone

def prepare(machine, mode, parameters):
    """All but the load itself"""
    machine.qmp.execute("migrate-set-capabilities",
                        capabilities("events", "fixed-ram"))
    machine.qmp.execute("migrate-set-parameters",
                        {"fixed-ram-load-mode": mode, **parameters})
    machine.before_kib = procfs.shares(machine.pid)[0]
    machine.mark_read_bytes()


def wait_status(machine, statuses):
    final = ("failed", "cancelled", "postcopy-paused")
    _, event = machine.qmp.wait_event("MIGRATION", LOAD_S,
                                      status=(*statuses, *final))
    if event["data"]["status"] in final:
        info = machine.qmp.execute("query-migrate", timeout=10)
        raise Failure("the load failed: "
                      + info.get("error-desc", "QEMU does not say why"))


def wait_running(machine, mode):
    """When it began to run; a guest that was saved stopped is told to"""
    wait_status(machine, STARTED[mode])
    while True:
        status = machine.qmp.execute("query-status")
        if status["status"] not in NOT_YET:
            break
        time.sleep(0.001)
    if not status["running"]:
        machine.qmp.execute("cont")
    return machine.qmp.wait_event("RESUME", LOAD_S)[0]


def first_output(machine):
    """When it came; None if there is no serial port, or a silent guest"""
    if not machine.serial:
        return None
    try:
        return machine.serial.wait_first_byte(machine.patience_s or LOAD_S)
    except Lost:
        raise
    except Failure:
        if machine.patience_s:
            return None
        raise


def load(machine, mode, path, begin):
    """Times are ms since begin, when all clones are told to load"""
    def ms(when):
        return round((when - begin) * 1000, 1)

    machine.qmp.execute("migrate-incoming", {"uri": f"file:{path}"})
    result = {"running_ms": ms(wait_running(machine, mode))}
    wait_status(machine, ("completed",))
    first = first_output(machine)
    return {**result, "output_ms": ms(first)} if first else result


def memory(machine):
    """What the clone takes when it is loaded and has done its first output"""
    pss, private = procfs.shares(machine.pid)
    return {"before_mib": round(machine.before_kib / 1024, 1),
            "pss_mib": round(pss / 1024, 1),
            "private_mib": round(private / 1024, 1),
            "read_mib": round(machine.read_bytes() / 2**20, 1)}


def run_clones(herd, mode, path, parameters=()):
    """The figures of all clones, in order"""
    herd.each(prepare, mode, dict(parameters))
    times = herd.each(load, mode, path, time.monotonic())
    sizes = herd.each(memory)
    return [{"name": identity.name, "guid": identity.guid, **one, **size}
            for (identity, _), one, size in zip(herd.clones, times, sizes)]
