# SPDX-License-Identifier: GPL-2.0-or-later
"""What a soak came to."""

import time

from fixed_ram.session import write_json


def write_report(world, args, config, complete):
    counts = {table: dict(sorted(names.items()))
              for table, names in world.counts.items()}
    write_json(world.dir / "report.json", {
        "complete": complete, "seed": args.seed, "first": args.first,
        "max_memory_mib": config.max_memory,
        "sanitizers": world.slowness > 1,
        "seconds": round(time.monotonic() - world.start),
        "cycles": sum(counts.get("cycles", {}).values()),
        "guests_lost": counts.get("guests", {}).get("lost", 0),
        "slowest_end_s": world.slowest_end_s,
        "counts": counts}, indent=1)


def print_summary(world):
    counts = world.counts
    total = sum(counts.get("cycles", {}).values())
    print(f"\n{total} cycles in {(time.monotonic() - world.start) / 60:.1f} "
          f"minutes; {counts.get('guests', {}).get('lost', 0)} guests lost; "
          f"the slowest end of a process took {world.slowest_end_s} s")
    for table, names in counts.items():
        line = ", ".join(f"{name} {n}" for name, n in sorted(names.items()))
        print(f"  {table}: {line}")
    print(f"  Report: {world.dir / 'report.json'}", flush=True)
