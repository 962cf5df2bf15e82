# SPDX-License-Identifier: GPL-2.0-or-later
"""Settings left alone against those that a user might choose, in turns."""

from fixed_ram.guest import Guest
from fixed_ram.steps import boot, fill

from .load import load
from .modes import LOAD_CHOICES, SAVE_CHOICE
from .save import check, save, with_rates
from .saverounds import Step, saved_file
from .turns import alternate


def every(choices):
    return [name for choice in choices
            for name in (choice.default, *choice.explicit)]


def one_save(plan, path, name, filling, number):
    """Of a guest of its own, on which nothing was ever set"""
    progress = Step(plan.progress, f"{number + 1}/{plan.rounds} {name}")
    size = min(plan.scale.settings_fill, plan.fill)
    with Guest(plan.qemu, plan.kernel, plan.initrd, size + 256,
               plan.accel) as guest:
        boot(guest, progress)
        fill(guest, size, progress, filling == "fragmented")
        result = save(guest, path, name)
        guest.quit()
    result = with_rates(result, result["pages_bytes"])
    if number == 0:
        result["checked"] = check(plan, path, name)
    return result


def saves(plan, filling):
    with saved_file(plan) as path:
        return alternate(plan, "saves", {
            name: lambda number, name=name: one_save(plan, path, name,
                                                     filling, number)
            for name in every([SAVE_CHOICE])})


def loads(plan, snap):
    """The others are verified where idle guests are loaded"""
    defaults = {choice.default for choice in LOAD_CHOICES.values()}
    return alternate(plan, "loads", {
        name: lambda number, name=name: load(
            plan, snap, name, number == 0 and name in defaults, settle=False)
        for name in every(LOAD_CHOICES.values())})


def settings(plan, filling, snap):
    """snap: of an idle guest"""
    plan.progress.start("settings")
    result = {"loads": loads(plan, snap), "saves": saves(plan, filling)}
    plan.progress.done(describe(result))
    return result


def describe(result):
    def of(part, name, key):
        return f"{result[part][name]['summary'][key]['median']:,.0f} ms"

    return ", ".join([
        *(f"{what} {of('loads', choice.default, 'loaded_ms')}"
          for what, choice in LOAD_CHOICES.items()),
        f"save {of('saves', SAVE_CHOICE.default, 'stable_ms')}"])
