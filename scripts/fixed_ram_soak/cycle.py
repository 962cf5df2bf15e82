# SPDX-License-Identifier: GPL-2.0-or-later
"""One cycle: a guest is booted or loaded, verified, and perhaps saved again."""

from contextlib import ExitStack, contextmanager
from dataclasses import replace

from faults import LIBRARY, Faults
from fixed_ram.qmp import Failure

from .chains import (can_be_delta, chain_load, forget_layers, merge_beside,
                     merge_chain, save_delta)
from .clones import clone_load, roll_back
from .ending import Ended, end
from .lineage import Lineage
from .loading import LoadRun, verify
from .saving import boot, fill, finish_save, kill_saver, start_activity
from .sets import change_sets
from .vm import Vm

INCOMING = ("-incoming", "defer")
# A guest that fails in its first boot has met nothing of ours: try another.
BOOTS = 3


@contextmanager
def faulty_disk(world):
    """Faults to inject, or None where the library was not built"""
    if not (world.build / LIBRARY).is_file():
        yield None
        return
    faults = Faults(world.dir / "faults")
    try:
        yield faults
    finally:
        faults.close()
        world.count("faults", "injected", faults.injected)


@contextmanager
def good_disk(_world):
    """No faults to inject"""
    yield None


class CycleRun:
    """words: what is printed of it, as far as it has come"""

    def __init__(self, world, cycle, lineage):
        self.world = world
        self.cycle = cycle
        self.lineage = lineage
        self.words = []

    def say(self, text):
        self.world.log(f"== {text}")
        self.words.append(str(text))

    def run(self):
        """Returns the lineage that the next cycle goes on with"""
        cycle = self.cycle
        if cycle.fresh:
            self._begin()
        else:
            self.say(f"generation {self.lineage.generation}")
        if str(cycle.sets):
            self.say(cycle.sets)
        change_sets(self.world, self.lineage, cycle.sets)
        merge_chain(self.world, self.lineage, cycle.chain)
        self.say(cycle.load)
        with self._loading(cycle.load, cycle.sets) as (vm, run):
            try:
                run.run()
            except Ended:
                self._say_done(run)
                return self.lineage
            self._say_done(run)
            self._after_load(vm, run)
        if cycle.plan == "kill a saver" and run.settled:
            self._load_remains()
        return self.lineage

    @contextmanager
    def _loading(self, load, about_sets=None, disk=faulty_disk):
        """A QEMU that waits for a snapshot, on a disk that can fail"""
        world, lineage = self.world, self.lineage
        with disk(world) as faults:
            env = dict(world.env)
            if faults:
                env = faults.environment(world.build, env)
            load = chain_load(lineage, load)
            if load.no_move:
                env["QEMU_FIXED_RAM_NO_MOVE"] = "1"
            with Vm(world, lineage.machine,
                    (*lineage.devices.arguments(), *INCOMING), env) as vm:
                yield vm, LoadRun(vm, lineage, load, faults, about_sets)

    def _say_done(self, run):
        if run.did:
            self.say(", ".join(run.did))

    def _begin(self):
        cycle, world = self.cycle, self.world
        self.say(cycle.machine)
        world.make_disk()
        self.lineage = Lineage(cycle.machine, filled=cycle.machine.fill)
        with ExitStack() as stack:
            vm = self._boot(stack)
            world.count("guests", "booted")
            self._save(vm, cycle.first)
            vm.quit()

    def _boot(self, outer):
        """A guest that has booted, which outer will end"""
        for left in reversed(range(BOOTS)):
            try:
                with ExitStack() as stack:
                    vm = stack.enter_context(Vm(self.world,
                                                self.cycle.machine))
                    boot(vm)
                    outer.push(stack.pop_all())
                    return vm
            except (Failure, TimeoutError) as e:
                if not left:
                    raise
                self.world.log(f"did not boot: {e}")
                self.world.count("guests", "did not boot")

    def _save(self, vm, save):
        """Fill the guest anew and save it, or kill it meanwhile"""
        lineage = self.lineage
        fill(vm, lineage, save)
        if not lineage.one_block():
            save = replace(save, live=False)
        self.say(f"{lineage.filled} MiB {save.filling} "
                 + ("saved" if save.kill is None else
                    f"killed after {save.kill:.0%} of a save") + f": {save}")
        start_activity(vm, lineage, save)
        if save.kill is None:
            finish_save(vm, lineage, save, self._path(save))
            forget_layers(lineage)
        else:
            kill_saver(vm, lineage, save, self._path(save))

    def _path(self, save):
        """Where the next snapshot goes"""
        lineage = self.lineage
        if save.over and lineage.path:
            return lineage.path
        used = {lineage.path, *lineage.layers}
        path = next(path for path in map(self.world.snapshot, "abcdefghij")
                    if path not in used)
        path.unlink(missing_ok=True)
        return path

    def _save_delta(self, vm, run):
        """The guest is not filled anew: a delta is small"""
        lineage, cycle = self.lineage, self.cycle
        live = cycle.chain.live and not run.mapped and \
            vm.machine.kind == "plain"
        self.say(f"saved: delta {len(lineage.layers) + 1}"
                 + (" live" if live else ""))
        save_delta(vm, lineage, cycle,
                   self._path(replace(cycle.save, over=False)), live)

    def _after_load(self, vm, run):
        cycle = self.cycle
        if run.was_reset:
            boot(vm)
            self.world.count("guests", "booted after a reset")
            end(vm, cycle.end)
            return
        verify(vm, self.lineage)
        if run.mapped and run.settled:
            self._copies(vm)
        if cycle.plan in ("save", "kill a saver") and run.settled:
            self.lineage.devices = run.devices.copy()
        if can_be_delta(self.lineage, cycle) and run.settled:
            self._save_delta(vm, run)
        elif cycle.plan in ("save", "kill a saver") and run.settled:
            # the file that is mapped stays locked
            over = cycle.save.over and not run.mapped
            self._save(vm, replace(cycle.save, over=over))
        if vm.status is None:
            self.say(cycle.end)
            end(vm, cycle.end)

    def _copies(self, vm):
        """Clones beside this guest, and this guest once more"""
        cycle, copies = self.cycle, self.cycle.copies
        if str(copies):
            self.say(copies)
        # a disk is one guest's
        if copies.clones and not vm.machine.disk:
            self._clone(copies.clones)
        roll_back(vm, self.lineage, cycle.save, copies)

    def _clone(self, number):
        """So many at once, which all have the snapshot's content"""
        with self._loading(clone_load(self.cycle.load),
                           disk=good_disk) as (vm, run):
            run.run()
            if number > 1:
                self._clone(number - 1)
            else:
                merge_beside(self.world, self.lineage)
            verify(vm, self.lineage)
            vm.quit()
        self.world.count("clones", "verified")

    # ------------------------------------------------------------ remains

    def _load_remains(self):
        """Refused, or failed, or good: nothing else"""
        load = self.cycle.remains
        with self._loading(load) as (vm, run):
            how = self._try_remains(vm, run)
            self.world.count("remains", how)
            self.say(f"remains ({load}): {how}")
            if how != "good":
                vm.quit()

    def _try_remains(self, vm, run):
        run.prepare()
        if not run.incoming().ok:
            return "refused"
        status = vm.wait_status("completed", "failed", "postcopy-paused")
        if status == "failed":
            vm.why()
            return "failed"
        run.finish()
        verify(vm, self.lineage)
        vm.quit()
        return "good"
