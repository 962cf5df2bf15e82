# SPDX-License-Identifier: GPL-2.0-or-later
"""An encoder of plain migration streams, and what tests need of fixed-ram."""

import random
import struct

PAGE = 4096
ZERO, FULL, EOS, CONTINUE = 2, 8, 0x10, 0x20
FOOTER = b"\x7e" + struct.pack(">I", 2)
SUPERBLOCK = 4096


def string(text):
    return bytes([len(text)]) + text.encode()


def beginning(block, length):
    name = b"pc-i440fx-10.0"
    return b"".join((
        b"QEVM", struct.pack(">I", 3),
        b"\x07", struct.pack(">I", len(name)), name,
        b"\x01", struct.pack(">I", 2), string("ram"),
        struct.pack(">II", 0, 4), struct.pack(">Q", length | 4),
        string(block), struct.pack(">QQ", length, EOS), FOOTER,
        b"\x03", struct.pack(">I", 2)))


def ending():
    text = b'{"page_size": 4096, "devices": [{"name": "a", "instance_id": 7}]}'
    return b"".join((
        struct.pack(">Q", EOS), FOOTER,
        b"\x04", struct.pack(">I", 9), string("a"), struct.pack(">II", 7, 1),
        b"state", b"\x7e", struct.pack(">I", 9), b"\0",
        b"\x06", struct.pack(">I", len(text)), text))


def write_large(path, pages, seed):
    """One block; every 3rd page is zero, all others differ"""
    rng = random.Random(seed)
    noise = rng.randbytes(2 * PAGE)
    with open(path, "wb") as f:
        f.write(beginning("pc.ram", pages * PAGE))
        for page in range(pages):
            zero = page % 3 == 2
            flags = (ZERO if zero else FULL) | (CONTINUE if page else 0)
            at = page * 7 % PAGE
            f.write(record(page, flags, b"\0" if zero else
                           struct.pack("<Q", page) + noise[at:at + PAGE - 8]))
        f.write(ending())


def record(page, flags, content, name="pc.ram"):
    """A page, or that it is zero"""
    return b"".join((struct.pack(">Q", page * PAGE | flags),
                     b"" if flags & CONTINUE else string(name), content))


def crc32c(data):
    """Slow, and shares nothing with the code under test"""
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def being_written(superblock):
    """The same one as long as its snapshot is being written"""
    new = superblock[:12] + struct.pack("<I", 1) + superblock[16:40]
    new += bytes(SUPERBLOCK - 4 - len(new))
    return new + struct.pack("<I", crc32c(new))
