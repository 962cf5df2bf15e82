# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest that changes some of its memory between two saves."""

import json

from fixed_ram import pagemap
from fixed_ram.child import finish
from fixed_ram.qmp import Failure

from .save import CHECK_S

CLUSTER = 64 * 2**10
# what qemu-snapshot compare says
EQUAL, DIFFERENT = 0, 1


def go_on(guest):
    if guest.qmp.execute("query-status")["status"] != "running":
        guest.qmp.execute("cont")


def change(guest, mib, run, seed):
    """So many MiB, in runs of so many pages, anywhere in what was filled"""
    go_on(guest)
    answer = guest.command(f"change {mib * pagemap.PER_MIB} {run} {seed}",
                           "^change .*", 600)[0]
    if not answer.startswith("change ok"):
        raise Failure(f"the guest says: {answer}")


def changed_bytes(plan, before, after):
    """Of all clusters in which two snapshots differ"""
    status, out, err = finish([plan.snapshot_tool, "compare", "--quick",
                               "--output=json", before, after], CHECK_S)
    if status not in (EQUAL, DIFFERENT):
        raise Failure(f"two snapshots cannot be compared: {err.strip()}")
    return CLUSTER * sum(clusters(block["ranges"])
                         for block in json.loads(out)["blocks"])


def clusters(ranges):
    """How many of them hold a part of these ranges, which are in order"""
    count, done = 0, 0
    for each in ranges:
        first = max(each["start"] // CLUSTER, done)
        done = max(-(-(each["start"] + each["length"]) // CLUSTER), done)
        count += max(0, done - first)
    return count
