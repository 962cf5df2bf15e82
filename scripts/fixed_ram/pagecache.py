# SPDX-License-Identifier: GPL-2.0-or-later
"""What of a file is in the page cache, and how to get it out of there."""

import ctypes
import errno
import os
import time

# of mincore()'s bytes only this bit is defined
LOWEST_BIT = bytes(value & 1 for value in range(256))


def cached_pages(path):
    """A byte for each page of a file: 1 if it is in the page cache"""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int,
                          ctypes.c_int, ctypes.c_int, ctypes.c_long]
    libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t,
                             ctypes.c_char_p]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    page = os.sysconf("SC_PAGE_SIZE")
    prot_read, map_shared = 1, 1
    fd = os.open(path, os.O_RDONLY)
    try:
        size = os.fstat(fd).st_size
        address = libc.mmap(None, size, prot_read, map_shared, fd, 0)
    finally:
        os.close(fd)
    if address in (None, ctypes.c_void_p(-1).value):
        return b""
    present = ctypes.create_string_buffer((size + page - 1) // page)
    failed = libc.mincore(address, size, present)
    libc.munmap(address, size)
    return b"" if failed else present.raw.translate(LOWEST_BIT)


def cached_bytes(path):
    """How much of a file is in the page cache"""
    return cached_pages(path).count(1) * os.sysconf("SC_PAGE_SIZE")


def drop_from_page_cache(path):
    """Leave nothing of a file in the page cache; returns the bytes that stay

    Needs no root. Only clean pages go, hence the fsync.
    """
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
        for _ in range(5):
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            left = cached_bytes(path)
            if left == 0:
                break
            time.sleep(0.2)
    finally:
        os.close(fd)
    return left


def data_ranges(path, bridge=0):
    """Where a file is not a hole: (start, end); holes up to bridge do not count
    """
    ranges = []
    fd = os.open(path, os.O_RDONLY)
    try:
        end = 0
        while True:
            try:
                start = os.lseek(fd, end, os.SEEK_DATA)
            except OSError as e:
                if e.errno != errno.ENXIO:
                    raise
                return ranges
            end = os.lseek(fd, start, os.SEEK_HOLE)
            if ranges and start - ranges[-1][1] <= bridge:
                ranges[-1] = (ranges[-1][0], end)
            else:
                ranges.append((start, end))
    finally:
        os.close(fd)


def bring_into_page_cache(path, ranges):
    """Read these ranges of a file; returns the share of it that is cached"""
    block = bytearray(2**20)
    fd = os.open(path, os.O_RDONLY)
    try:
        for start, end in ranges:
            while start < end:
                got = os.preadv(fd, [block], start)
                if got == 0:
                    break
                start += got
    finally:
        os.close(fd)
    wanted = sum(end - start for start, end in ranges)
    return cached_bytes(path) / max(wanted, 1)
