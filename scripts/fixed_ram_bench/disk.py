# SPDX-License-Identifier: GPL-2.0-or-later
"""The disk's own limits, by fio, over the very files that are loaded."""

from fixed_ram.pagecache import drop_from_page_cache
from fixed_ram.session import temporary_file

from .load import Prefixed
from .stats import measured

MIB = 2**20


def block(size):
    """Whole MiB"""
    return size // MIB * MIB


def read_rate(plan, snap):
    """Sequentially, 1 MiB blocks, 8 in flight; what are holes does not count

    Holes cost the disk nothing and bring a load nothing.
    """
    drop_from_page_cache(snap.path)
    start, end = snap.longest()
    start = block(start + MIB - 1)
    size = min(block(end - start), plan.scale.fio_mib * MIB)
    count, seconds = plan.fio.read(snap.path, start, size, plan.scale.fio_s)
    data = snap.data_within(start, start + count)
    return {"mib_s": round(data / seconds / MIB, 1),
            "with_holes_mib_s": round(count / seconds / MIB, 1),
            "seconds": seconds}


def file_rate(plan, path):
    """The same of a file without holes"""
    drop_from_page_cache(path)
    size = min(block(path.stat().st_size), plan.scale.fio_mib * MIB)
    count, seconds = plan.fio.read(path, 0, size, plan.scale.fio_s)
    return {"mib_s": round(count / seconds / MIB, 1)}


def random_reads(plan, path, beside, where=None):
    start, end = where or (0, path.stat().st_size)
    start = block(start + MIB - 1)
    drop_from_page_cache(path)
    return plan.fio.random(path, start, block(end - start), plan.scale.fio_s,
                           beside)


def write_rate(plan):
    with temporary_file(plan.output / "scratch") as path:
        count, seconds = plan.fio.write(path, plan.scale.write_mib * MIB,
                                        plan.scale.fio_s)
    return {"mib_s": round(count / seconds / MIB, 1)}


def disk_limits(plan, snap):
    """Every limit once a round"""
    where = snap.longest()
    limits = {
        "sequential_read": lambda: read_rate(plan, snap),
        "random_read": lambda: random_reads(plan, snap.path, False, where),
        "random_read_beside": lambda: random_reads(plan, snap.path, True,
                                                   where),
        "sequential_write": lambda: write_rate(plan),
    }
    runs = {name: [] for name in limits}
    plan.progress.start("disk")
    progress = Prefixed(plan.progress, "fio")
    for number in range(plan.rounds):
        for name in plan.in_turns(list(limits), number):
            progress.update(f"{number + 1}/{plan.rounds} "
                            + name.replace("_", " "))
            runs[name].append({"round": number, **limits[name]()})
    result = {name: measured(each) for name, each in runs.items()}
    plan.progress.done(describe(result))
    return result


def describe(result):
    def of(name, key):
        return f"{result[name]['summary'][key]['median']:,.0f}"

    return (f"reads {of('sequential_read', 'mib_s')} MiB/s, writes "
            f"{of('sequential_write', 'mib_s')} MiB/s, 4 KiB in "
            f"{of('random_read', 'p50_us')}/{of('random_read', 'p99_us')} µs "
            "(p50/p99), beside a reader in "
            f"{of('random_read_beside', 'p50_us')}/"
            f"{of('random_read_beside', 'p99_us')} µs")
