# SPDX-License-Identifier: GPL-2.0-or-later
"""Saves of a stopped guest in every mode, in turns, beside fio's writes."""

from fixed_ram.guest import APPEND, Guest
from fixed_ram.session import temporary_file
from fixed_ram.steps import boot, fill

from .disk import write_rate
from .load import Prefixed
from .modes import BASE_SAVES, SAVES, SPARSE_SAVES
from .save import MIB, check, save, with_rates
from .stats import measured

FIO = "fio"
SHORT = {"contiguous": "contig.", "fragmented": "fragm."}
# The guest's kernel writes something for each page that it knows of: it is
# not told of most of a memory that is to stay untouched.
KNOWN_MIB = 768


class Step(Prefixed):
    """For something with steps of its own that is one step of something else
    """

    def start(self, title):
        self.update(title)

    def done(self, text):
        self.update(text)


def brief(results):
    """A round in a line: ours, and the best of base"""
    def fastest(names):
        return max(results[name]["stable_mib_s"] for name in names)

    ours = [name for name in SAVES if name not in BASE_SAVES]
    return (f"to stable storage {fastest(ours):,.0f} MiB/s; "
            f"base {fastest(BASE_SAVES):,.0f} MiB/s")


def one_save(plan, guest, path, name, number, data_bytes):
    result = with_rates(save(guest, path, name), data_bytes)
    if number == 0:
        result["checked"] = check(plan, path, name)
    return result


def one_round(plan, guest, path, number, data_bytes, runs):
    things = [*SAVES, FIO] if plan.fio else list(SAVES)
    progress = Prefixed(plan.progress, f"{number + 1}/{plan.rounds}")
    results = {}
    for position, name in enumerate(plan.in_turns(things, number)):
        progress.update(f"{name} ({position + 1} of {len(things)})")
        if name == FIO:
            path.unlink(missing_ok=True)
            result = write_rate(plan)
        else:
            result = one_save(plan, guest, path, name, number, data_bytes)
        results[name] = {"round": number, **result}
        runs.setdefault(name, []).append(results[name])
    plan.progress.done(f"{number + 1}/{plan.rounds} {brief(results)}")


def rounds(plan, guest, path, filling):
    """Base says how much is not zero; that save does not count otherwise"""
    data_bytes = save(guest, path, "base-plain")["pages_bytes"]
    runs = {}
    for number in range(plan.rounds):
        plan.progress.start(f"save {SHORT[filling]}")
        one_round(plan, guest, path, number, data_bytes, runs)
    result = {"data_mib": data_bytes // MIB,
              "modes": {name: measured(runs[name]) for name in SAVES}}
    if FIO in runs:
        result[FIO] = measured(runs[FIO])
    return result


def saved_file(plan):
    return temporary_file(plan.output / "save.snapshot")


def saves(plan, filling):
    """All rounds over one guest, which is always the same"""
    with Guest(plan.qemu, plan.kernel, plan.initrd, plan.memory,
               plan.accel) as guest, saved_file(plan) as path:
        boot(guest, plan.progress)
        fill(guest, plan.fill, plan.progress, filling == "fragmented")
        result = rounds(plan, guest, path, filling)
        guest.quit()
    return result


def sparse_save(plan, path, name, progress):
    """Of a guest of its own: a save may touch what was never touched before"""
    extra = ("-append", f"{APPEND} mem={KNOWN_MIB}M")
    with Guest(plan.qemu, plan.kernel, plan.initrd, plan.sparse, plan.accel,
               extra) as guest:
        boot(guest, progress)
        fill(guest, plan.scale.sparse_fill, progress)
        result = save(guest, path, name)
        guest.quit()
    return with_rates(result, result["pages_bytes"])


def sparse_saves(plan):
    """A large guest of which little was ever touched"""
    runs = {name: [] for name in SPARSE_SAVES}
    plan.progress.start("save sparse")
    with saved_file(plan) as path:
        for number in range(plan.rounds):
            for name in plan.in_turns(SPARSE_SAVES, number):
                progress = Step(plan.progress,
                                f"{number + 1}/{plan.rounds} {name}")
                result = sparse_save(plan, path, name, progress)
                runs[name].append({"round": number, **result})
    result = {name: measured(each) for name, each in runs.items()}
    plan.progress.done(f"{plan.sparse} MiB: " + ", ".join(
        f"{name} {data['summary']['saved_ms']['median']:,.0f} ms"
        for name, data in result.items()))
    data = result["base-plain"]["summary"]["pages_bytes"]["median"]
    return {"memory_mib": plan.sparse, "data_mib": int(data) // MIB,
            "modes": result}
