# SPDX-License-Identifier: GPL-2.0-or-later
"""Which pages of memory a process has, by its page table."""

import os
from pathlib import Path
import re

from .pagecache import cached_pages

PAGE = os.sysconf("SC_PAGE_SIZE")
PER_MIB = 2**20 // PAGE
# Of an entry's last byte: the page is there or swapped out; a file's or shared
THERE, OF_A_FILE = 0xc0, 0x20
TOUCHED = bytes(bool(flags & THERE) for flags in range(256))
OWN = bytes(bool(flags & THERE) and not flags & OF_A_FILE
            for flags in range(256))
MAPPING = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) \S+ ([0-9a-f]+) \S+ \d+ +(.*)$",
                     re.M | re.A)


def file_ranges(pid, path):
    """Where a file is mapped, in order: (start, end, offset in the file)"""
    text = Path(f"/proc/{pid}/maps").read_text(errors="replace")
    name = os.path.realpath(path)
    return [tuple(int(number, 16) for number in found[:3])
            for found in MAPPING.findall(text) if found[3] == name]


def _entries(pid, start, end):
    """A byte of flags for each page"""
    with open(f"/proc/{pid}/pagemap", "rb") as f:
        f.seek(start // PAGE * 8)
        return f.read((end - start) // PAGE * 8)[7::8]


def touched(pid, path):
    """The pages of a file that are in the page table

    A number with a byte for each page of the file, so that "|" unites those of
    several processes; its bit_count() is the number of pages.
    """
    pages = bytearray(-(-os.stat(path).st_size // PAGE))
    for start, end, offset in file_ranges(pid, path):
        found = _entries(pid, start, end).translate(TOUCHED)
        pages[offset // PAGE:offset // PAGE + len(found)] = found
    return int.from_bytes(pages, "little")


def cached_beside(pid, path):
    """How many pages of a file are in the page cache that are no memory"""
    cached = bytearray(cached_pages(path))
    for start, end, offset in file_ranges(pid, path):
        length = (end - start) // PAGE
        cached[offset // PAGE:offset // PAGE + length] = bytes(length)
    return cached.count(1)


def _not_zero(pid, start, end):
    own = _entries(pid, start, end).translate(OWN)
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as f:
        return sum(any(os.pread(f.fileno(), PAGE, start + n * PAGE))
                   for n, is_own in enumerate(own) if is_own)


def written(pid, path, start, end):
    """How many pages of a range with mappings of a file were written to

    Beside the file's mappings those count that are not zero: a huge page is in
    the page table as a whole.
    """
    pages = 0
    for first, last, _ in file_ranges(pid, path):
        if start <= first and last <= end:
            pages += _not_zero(pid, start, first)
            pages += _entries(pid, first, last).translate(OWN).count(1)
            start = last
    return pages + _not_zero(pid, start, end)
