#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Save a Linux guest with fixed-ram, load it eagerly and on demand, compare.

The guest fills its RAM with content that it can verify, and then does a little
work every 20 ms and prints a line for it: its first line after a load is when
a user of the guest sees it live again. Both loads start with none of the
snapshot in this machine's page cache; a host of this machine may have cached
it all the same.

Writes report.json and ticks.json to BUILD/run, and prints a table.
"""

import argparse
from pathlib import Path
import re
import shutil
import sys
import time

from fixed_ram.expected import Expected
from fixed_ram.guest import Guest
from fixed_ram.machine import (GUEST_RESERVE_MIB, RESERVE_MIB, available_mib,
                               choose_accelerator)
from fixed_ram.pagecache import drop_from_page_cache
from fixed_ram.progress import Progress
from fixed_ram.qmp import Failure
from fixed_ram.session import (build_guest_image, check_files, run_to_the_end,
                               temporary_file, write_json)
from fixed_ram.steps import (boot, capabilities, fill, save, verify,
                             wait_loaded)
from fixed_ram.text import mib

MODES = ("eager", "on-demand")
# Seconds that the steps usually take on two CPUs under TCG.
USUAL = {"boot": 10, "fill": 15, "save": 5, "eager load": 15,
         "on-demand load": 15}
TICK_MS = 20
BIN_MS = 100


NEXT = """
Next: `make clones` starts 8 guests from one snapshot.  README.md, section "Save
and load", tells how to do that with a guest of your own.
`scripts/plot-run.py build/run/load.svg` draws what was measured."""


# ------------------------------------------------------------- the machine

def choose_sizes(args, where):
    """Guest memory and how much of it to fill, in MiB, and why not more"""
    notes = []
    memory, fill = args.memory, args.fill
    if memory is None:
        memory = 4096
        room = available_mib() - RESERVE_MIB
        if room < memory:
            memory = room // 256 * 256
            notes.append(f"a guest of {memory} MiB instead of 4096: this "
                         f"machine has {room + RESERVE_MIB} MiB free")
        if memory < 512:
            raise Failure("too little memory is free for a guest: "
                          f"{room + RESERVE_MIB} MiB, wanted at least "
                          f"{512 + RESERVE_MIB} MiB")
    if fill is None:
        fill = memory * 3 // 4
        free = shutil.disk_usage(where).free // 2**20
        # the guest's kernel and files come on top
        room = free - RESERVE_MIB - GUEST_RESERVE_MIB
        if room < fill:
            notes.append(f"{max(room, 0)} MiB filled instead of {fill}: the "
                         f"disk of {where} has {free} MiB free")
            fill = room
        if fill < 64:
            raise Failure(f"too little disk space in {where} for a snapshot: "
                          f"{free} MiB")
    if fill > memory - min(GUEST_RESERVE_MIB, memory // 4):
        raise Failure(f"cannot fill {fill} MiB of a guest of {memory} MiB: "
                      f"its kernel needs some {GUEST_RESERVE_MIB} MiB")
    return memory, fill, notes


# ------------------------------------------------------------ loading

def start_load(guest, mode, path, args):
    """Set everything up, empty the cache, go; returns when, and what stayed"""
    wanted = ["events", args.capability]
    if mode == "on-demand":
        wanted.append("postcopy-ram")
    guest.qmp.execute("migrate-set-capabilities", capabilities(*wanted))
    warm = drop_from_page_cache(path)
    guest.mark_read_bytes()
    start = time.monotonic()
    guest.qmp.execute("migrate-incoming", {"uri": f"file:{path}"})
    return start, warm


def tick_stamps(guest, start):
    return [round((when - start) * 1000, 1)
            for when, text in guest.serial.lines
            if re.match(r"tick \d+ t=", text)]


def load(mode, path, sizes, accel, args, progress, watch_ms):
    """One load; returns its figures and the guest's ticks

    The ticks are watched for watch_ms, and for a second after the load.
    """
    memory, filled, snapshot = sizes
    progress.start(f"{mode} load")
    with Guest(args.qemu, args.kernel, args.initrd, memory, accel,
               ("-incoming", "defer")) as guest:
        start, warm = start_load(guest, mode, path, args)
        loaded = wait_loaded(guest, mode, snapshot, progress)
        bytes_loaded = guest.read_bytes()
        running = guest.qmp.wait_event("RESUME", 30)[0]
        output = guest.serial.wait_first_byte(60)
        info = guest.qmp.execute("query-migrate")

        watch_ms = max(watch_ms, (max(loaded, output) - start) * 1000 + 1000)
        time.sleep(max(0, start + watch_ms / 1000 - time.monotonic()))
        complaint = verify(guest, filled, progress)
        ticks = tick_stamps(guest, start)
        guest.quit()

    result = {
        "running_ms": round((running - start) * 1000, 1),
        "first_output_ms": round((output - start) * 1000, 1),
        "loaded_ms": round((loaded - start) * 1000, 1),
        "bytes_read": bytes_loaded,
        "verified": complaint is None,
    }
    if mode == "on-demand":
        result["faults"] = info.get("fixed-ram", {}).get("faults")
    progress.done(f"guest running after {result['running_ms']:,.0f} ms, all "
                  f"loaded after {result['loaded_ms']:,.0f} ms, "
                  + (f"NOT VERIFIED: {complaint}" if complaint else
                     "verified"))
    if warm:
        print(f"  note: {mib(warm)} of the snapshot stayed in the page cache")
    more = {
        "early_bytes": guest.read_bytes_at_first_byte or 0,
        "statistics": info.get("fixed-ram", {}),
        "watch_ms": watch_ms,
        "ticks": ticks,
    }
    return result, more


# ------------------------------------------------------------ the report

def table_rows(results, more):
    def row(title, value):
        return (title, [value(mode) for mode in results])

    def ms(key):
        return lambda mode: f"{results[mode][key]:,.0f} ms"

    yield row("after migrate-incoming", lambda mode: mode.replace("-", " "))
    yield row("guest running", ms("running_ms"))
    yield row("guest's first output", ms("first_output_ms"))
    yield row("  read from disk by then",
              lambda mode: mib(more[mode]["early_bytes"]))
    yield row("all RAM loaded", ms("loaded_ms"))
    yield row("  read from disk by then",
              lambda mode: mib(results[mode]["bytes_read"]))
    if "on-demand" in results:
        latency = more["on-demand"]["statistics"].get("fault-latency", {})
        faults = results["on-demand"]["faults"]
        yield row("page faults served", lambda mode: "-" if
                  mode == "eager" or faults is None else f"{faults:,}")
        for key in ("p50", "p99", "max"):
            if key in latency:
                yield row(f"  latency {key}", lambda mode, key=key: "-" if
                          mode == "eager" else f"{latency[key]:,.0f} µs")
    yield row("every page verified",
              lambda mode: "yes" if results[mode]["verified"] else "NO")


def print_table(results, more):
    print()
    for title, cells in table_rows(results, more):
        print(f"  {title:<26}" + "".join(f"{cell:>14}" for cell in cells))
    if len(results) == len(MODES):
        eager, on_demand = (results[mode]["first_output_ms"]
                            for mode in MODES)
        ratio = eager / max(on_demand, 0.1)
        word = "sooner" if ratio >= 1 else "later"
        ratio = max(ratio, 1 / max(ratio, 1e-3))
        print(f"\n  On demand the guest's first output came "
              f"{ratio:,.{0 if ratio >= 10 else 1}f} times {word}.")
    print()


def tick_data(results, more):
    """For the picture: the ticks, and how many there are in each 100 ms"""
    data = {"tick_ms": TICK_MS, "bin_ms": BIN_MS}
    for mode, result in results.items():
        watch_ms = more[mode]["watch_ms"]
        bins = [0] * int(watch_ms // BIN_MS)
        stamps = [t for t in more[mode]["ticks"]
                  if 0 <= t < len(bins) * BIN_MS]
        for stamp in stamps:
            bins[int(stamp // BIN_MS)] += 1
        data[mode.replace("-", "_")] = {
            "first_output_ms": result["first_output_ms"],
            "loaded_ms": result["loaded_ms"],
            "watched_ms": len(bins) * BIN_MS,
            "ticks_per_bin": bins,
            "ticks_ms": stamps,
        }
    return data


# ------------------------------------------------------------ the run

def run_modes(args, run_dir, sizes, accel, progress):
    memory, filled = sizes
    results, more = {}, {}
    watch_ms = 0
    with temporary_file(run_dir / "snapshot", args.keep) as path:
        with Guest(args.qemu, args.kernel, args.initrd, memory,
                   accel) as guest:
            boot(guest, progress)
            fill(guest, filled, progress)
            guest.command(f"tick {TICK_MS}", r"^tick \d+ t=", 60)
            snapshot = save(guest, path, progress, args.capability)
        for mode in args.modes:
            results[mode], more[mode] = load(
                mode, path, (memory, filled, snapshot), accel, args, progress,
                watch_ms)
            watch_ms = more[mode]["watch_ms"]
    return snapshot, results, more


def run(args, progress):
    run_dir = args.build / "run"
    run_dir.mkdir(parents=True, exist_ok=True)
    for name in ("report.json", "ticks.json"):
        (run_dir / name).unlink(missing_ok=True)    # not an earlier run's
    memory, filled, notes = choose_sizes(args, run_dir)
    accel, accel_text = choose_accelerator(args, args.accel, progress)
    progress.start("guest")
    progress.done(f"{memory} MiB of RAM, of which {filled} MiB will be "
                  f"filled; {accel_text}")
    for note in notes:
        print(f"  note: {note}", flush=True)
    progress.expected = Expected(run_dir / "times.json", USUAL)

    snapshot, results, more = run_modes(args, run_dir, (memory, filled),
                                        accel, progress)
    report = {"guest_ram_mib": memory,
              # what the snapshot takes on disk: zero pages take nothing
              "nonzero_mib": snapshot // 2**20}
    report.update((mode.replace("-", "_"), result)
                  for mode, result in results.items())
    write_json(run_dir / "report.json", report, indent=2)
    write_json(run_dir / "ticks.json", tick_data(results, more))
    progress.expected.save()
    print_table(results, more)
    print(f"  Figures: {run_dir / 'report.json'}, {run_dir / 'ticks.json'}")
    print(NEXT)
    return 0 if all(r["verified"] for r in results.values()) else 1


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0])
    parser.add_argument("--build", type=Path, default=Path("build"),
                        metavar="DIR", help="the build directory")
    parser.add_argument("--kernel", type=Path, required=True,
                        metavar="VMLINUZ", help="the guest's Linux kernel")
    parser.add_argument("--memory", type=int, metavar="MIB",
                        help="the guest's RAM (default: 4096 MiB, or what "
                        "this machine has room for)")
    parser.add_argument("--fill", type=int, metavar="MIB",
                        help="how much of it to fill (default: 3/4)")
    parser.add_argument("--accel", choices=("auto", "kvm", "tcg"),
                        default="auto", help="default: KVM if a guest boots "
                        "under it, else TCG")
    parser.add_argument("--keep", action="store_true",
                        help="leave the snapshot in BUILD/run")
    # for trying this script over a QEMU that has no fixed-ram
    parser.add_argument("--capability", default="fixed-ram",
                        help=argparse.SUPPRESS)
    parser.add_argument("--modes", default=",".join(MODES),
                        help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.modes = args.modes.split(",")
    if not set(args.modes) <= set(MODES):
        parser.error(f"--modes: a list of {', '.join(MODES)}")
    for name in ("memory", "fill"):
        value = getattr(args, name)
        if value is not None and value < 1:
            parser.error(f"--{name}: a positive number of MiB")
    args.qemu = args.build / "qemu-system-x86_64"
    args.initrd = args.build / "guest" / "initramfs.cpio.gz"
    return args


def main():
    args = parse_arguments()
    progress = Progress()

    def prepared():
        check_files(args)
        build_guest_image(args.build)
        return run(args, progress)

    return run_to_the_end("run", prepared, progress)


if __name__ == "__main__":
    sys.exit(main())
