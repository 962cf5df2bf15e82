# SPDX-License-Identifier: GPL-2.0-or-later
"""What /proc knows of a process: time, memory inside and outside a range."""

import os
from pathlib import Path
import re
import time
from typing import NamedTuple

from .qmp import Failure

HEAD = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) ", re.A)
ATTEMPTS = 50
FIELD = re.compile(r"^(Rss|Pss|AnonHugePages): +(\d+) kB")


class Memory(NamedTuple):
    """In KiB"""
    inside: int         # resident in the range
    outside: int        # resident elsewhere
    huge: int           # of the range, in transparent huge pages
    share: int          # of what is inside (PSS)
    share_outside: int


# where a field of a mapping counts: inside, outside
SUMS = {"Rss": ("inside", "outside"), "Pss": ("share", "share_outside"),
        "AnonHugePages": ("huge", None)}


def cpu_seconds(pid):
    text = Path(f"/proc/{pid}/stat").read_text()
    # the second field may hold anything, but ends with the last ")"
    user, system = text[text.rindex(")") + 2:].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def status_kib(pid, field):
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(rf"^{field}:\s+(\d+)", text, re.M)[1])


def peak_kib(pid):
    """The most that was ever resident, or since reset_peak()"""
    return status_kib(pid, "VmHWM")


def reset_peak(pid):
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def written_bytes(pid):
    """What the process has sent, or has dirtied to be sent, to disks"""
    text = Path(f"/proc/{pid}/io").read_text()
    return int(re.search(r"^write_bytes: (\d+)$", text, re.M)[1])


def has_open(pid, path):
    """Whether one of the process's descriptors is of that file"""
    wanted = os.stat(path)
    for each in Path(f"/proc/{pid}/fd").iterdir():
        try:
            if os.path.samestat(each.stat(), wanted):
                return True
        except FileNotFoundError:
            continue        # it was closed meanwhile, or is no file
    return False


def memory(pid, start, end):
    """What is resident; a mapping lies in the range wholly or not at all"""
    for _ in range(ATTEMPTS):
        result = _sum_smaps(pid, start, end)
        if result:
            break
        time.sleep(0.02)
    else:
        raise Failure(f"the memory map of process {pid} does not keep still")
    return result


def shares(pid):
    """A process's memory in KiB: its share (PSS), and what is its alone"""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    kib = {name: int(value) for name, value in
           re.findall(r"^(\w+): +(\d+) kB$", text, re.M)}
    return kib["Pss"], kib["Private_Clean"] + kib["Private_Dirty"]


def _sum_smaps(pid, start, end):
    """None if mappings were joined while this read: some came twice"""
    sums = dict.fromkeys(Memory._fields, 0)
    within, last = False, 0
    with open(f"/proc/{pid}/smaps", encoding="ascii", errors="replace") as f:
        for line in f:
            field = FIELD.match(line)
            if field:
                kib = int(field[2])
                name = SUMS[field[1]][not within]
                if name:
                    sums[name] += kib
                continue
            head = HEAD.match(line)
            if head:
                first = int(head[1], 16)
                if first < last:
                    return None
                within, last = start <= first < end, int(head[2], 16)
    return Memory(**sums)
