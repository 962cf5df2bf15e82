# SPDX-License-Identifier: GPL-2.0-or-later
"""The engine alone: no guest, threads that touch a mapping."""

from typing import NamedTuple

from fixed_ram.child import run_json
from fixed_ram.session import temporary_file

from .disk import file_rate, random_reads
from .turns import alternate

MODES = ("engine", "naive", "mapping")
LOADERS = 4
PAGE = 4096
SPAN_MIB = 256
HOLES = {"contiguous": 0, "fragmented": 8}      # every so many pages one
TIMEOUT_S = 300
UNTIL_LOADED = 0        # touches


class Files(NamedTuple):
    cold: object
    warm: object


def touch(plan, path, size, **options):
    """One run of the program; options are its, True for a bare one"""
    command = [plan.engine, f"--file={path}", f"--size={size}"]
    for name, value in options.items():
        name = name.replace("_", "-")
        if value is True:
            command.append(f"--{name}")
        elif value is not False:
            command.append(f"--{name}={value}")
    return run_json(command, TIMEOUT_S)


def cold(plan, files, **options):
    return touch(plan, files.cold, plan.scale.cold_mib, cold=True, **options)


def warm(plan, files, **options):
    return touch(plan, files.warm, plan.scale.warm_mib, **options)


# ---- what is measured ----

SCALING = {
    cold: lambda scale: {"touches": scale.cold_touches, "direct": True,
                         "span": scale.cold_mib},
    warm: lambda scale: {"touches": scale.warm_touches,
                         "span": scale.warm_mib},
}


def scaling(plan, files):
    """Pages a second and latency by the number of touching threads"""
    things = {}
    for mode in MODES:
        for count in plan.scale.touchers:
            for cache in (cold, warm):
                options = {"mode": mode, "touchers": count,
                           "loaders": LOADERS, **SCALING[cache](plan.scale)}
                things[f"{cache.__name__}-{mode}-{count}"] = (
                    lambda _, cache=cache, options=options:
                    cache(plan, files, **options))
    return alternate(plan, "touching threads", things)


def loaders_in_the_way(plan, files, holes):
    """The same touches with loaders and without"""
    options = {"direct": True, "touchers": 1,
               "touches": plan.scale.cold_touches,
               "span": min(SPAN_MIB, plan.scale.cold_mib),
               "zero_every": holes}
    return alternate(plan, "loaders on and off", {
        "off": lambda _: cold(plan, files, loaders=0, **options),
        "on": lambda _: cold(plan, files, loaders=LOADERS, **options)})


def storm(plan, files, holes):
    """Threads that never stop faulting, and the rate at which all arrives"""
    options = {"direct": True, "touchers": 2, "touches": UNTIL_LOADED,
               "span": plan.scale.cold_mib, "loaders": LOADERS,
               "finish": True, "zero_every": holes}
    data = 1 - 1 / holes if holes else 1

    def engine(_):
        result = cold(plan, files, **options)
        return {**result, "data_mib_s": result["mib_per_s"] * data}

    things = {"engine": engine}
    if plan.fio:
        things["fio"] = lambda _: file_rate(plan, files.cold)
    return alternate(plan, "a storm of faults", things)


def tail(plan, files, holes):
    """What one thread feels while loaders have work

    So few touches of so large a file that hardly any finds its page there:
    those would make the rest look better than it is.
    """
    options = {"direct": True, "touchers": 1,
               "touches": plan.scale.cold_touches,
               "span": plan.scale.cold_mib, "loaders": LOADERS,
               "zero_every": holes}
    things = {"engine": lambda _: cold(plan, files, **options)}
    if plan.fio:
        things["fio"] = lambda _: random_reads(plan, files.cold, True)
    return alternate(plan, "latency", things)


def throughput(plan, files, holes):
    """Every page of a warm file, once, by two threads"""
    options = {"touchers": 2, "order": "each",
               "touches": plan.scale.warm_mib * 2**20 // PAGE // 2,
               "span": plan.scale.warm_mib, "loaders": LOADERS,
               "zero_every": holes}
    return alternate(plan, "every page once", {
        mode: lambda _, mode=mode: warm(plan, files, mode=mode, **options)
        for mode in ("engine", "naive")})


# ---- the section ----

def engine_alone(plan):
    plan.progress.start("engine alone")
    with temporary_file(plan.output / "engine-cold") as first, \
            temporary_file(plan.output / "engine-warm") as second:
        files = Files(first, second)
        plan.progress.update("making files")
        result = {"cold_mib": plan.scale.cold_mib,
                  "warm_mib": plan.scale.warm_mib, "loaders": LOADERS}
        result["scaling"] = scaling(plan, files)
        for filling, holes in HOLES.items():
            result[filling] = of_a_filling(plan, files, holes)
    plan.progress.done(describe(result))
    return result


def of_a_filling(plan, files, holes):
    return {"loaders": loaders_in_the_way(plan, files, holes),
            "storm": storm(plan, files, holes),
            "tail": tail(plan, files, holes),
            "throughput": throughput(plan, files, holes)}


def describe(result):
    def median(name, key):
        summary = result["scaling"][name]["summary"]
        return f"{summary[key]['median']:,.0f}"

    return (f"one thread, cold: {median('cold-engine-1', 'pages_per_s')} "
            f"pages/s, warm: {median('warm-engine-1', 'pages_per_s')}; naive "
            f"handler: {median('cold-naive-1', 'pages_per_s')} and "
            f"{median('warm-naive-1', 'pages_per_s')}")
