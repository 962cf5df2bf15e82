# SPDX-License-Identifier: GPL-2.0-or-later
"""convert."""

import fcntl
import os
import resource
import signal
import struct
import subprocess

from fixed_ram.qmp import QMPError

from .looking import bitmap_at, set_bit
from .stream import (CONTINUE, FULL, PAGE, ZERO, beginning, ending, record)
from .tap import Skip, equal, test, true
from .vm import CONTENT_AT, Vm
from .world import OFFSET, flip, read_at

# Where converted streams of stream.beginning() have their bitmap, and say so
CAPABILITIES = 1 + 1 + len("configuration/capabilities") + 4 + 4 + 1 + \
    len("mapped-ram")
BITMAP_FIELD = len(beginning("pc.ram", PAGE)) - 8 - 5 - 5 + CAPABILITIES + 12
BITMAP_AT = BITMAP_FIELD + 16

LOADS = {
    "mapped-ram": ["mapped-ram"],
    "eager": ["fixed-ram"],
    "demand": ["fixed-ram", "postcopy-ram"],
}


def converted(world, kind, *options):
    out = world.path(f"from-{kind}")
    out.unlink(missing_ok=True)
    world.run("convert", *options, world.saved[kind], out)
    return out


@test("convert/content")
def test_content(world):
    for kind, path in world.saved.items():
        out = converted(world, kind)
        world.run("compare", path, out)
        world.run("check", out)
        info = world.json("info", out)
        equal((info["kind"], info["complete"]), ("fixed-ram", True), kind)
        equal([d["name"] for d in info["devices"]],
              [d["name"] for d in world.json("info", path)["devices"]],
              f"{kind}: devices")
        true("mapped-ram" in info["capabilities"], "capabilities")


@test("convert/live")
def test_live(world):
    """What is sent last about a page counts; what is not sent is zero"""
    first, second = os.urandom(PAGE), os.urandom(PAGE)
    path, out, raw = map(world.path, ("live", "from-live", "raw"))
    path.write_bytes(beginning("pc.ram", 6 * PAGE) + b"".join((
        record(0, FULL, first), record(1, FULL | CONTINUE, first),
        record(2, ZERO | CONTINUE, b"\0"),
        record(3, FULL | CONTINUE, bytes(PAGE)),
        record(0, FULL | CONTINUE, second),
        record(1, ZERO | CONTINUE, b"\0"),
        record(2, FULL | CONTINUE, second))) + ending())
    world.run("convert", path, out)
    world.run("check", out)
    equal(world.json("info", out)["blocks"][0]["data-pages"], 2, "data pages")
    for name in (path, out):
        world.run("extract", "-b", "pc.ram", name, raw)
        true(raw.read_bytes() == second + bytes(PAGE) + second +
             bytes(3 * PAGE), f"{name}: other content")


@test("convert/room")
def test_room(world):
    """Bitmaps that end just before pages could begin: 32 GiB, all zero"""
    path, out = world.path("huge.mig"), world.path("huge")
    mib = 1 << 20
    for left, expected in ((4096 + 64, mib), (4096 - 64, 2 * mib),
                           (8, 2 * mib)):
        bitmap = (mib - left - BITMAP_AT) // 8 * 8
        path.write_bytes(beginning("pc.ram", bitmap * 8 * PAGE) + ending())
        world.run("convert", path, out)
        info = world.json("info", out)
        equal(info.get("problem"), None, f"{left} bytes left: problem")
        equal(info["blocks"][0]["offset"], expected, f"{left} bytes left")
        equal(int.from_bytes(read_at(out, BITMAP_FIELD, 8), "big"), BITMAP_AT,
              "the test itself: the bitmap's place")
        world.run("check", out)
    out.unlink()


@test("convert/identity")
def test_identity(world):
    """A copy with the same pages at the same places has the same identity"""
    ids = [world.json("info", converted(world, kind))["id"]
           for kind in ("stream", "stream", "mapped-ram")]
    equal(len(set(ids)), 3, "different ids")
    path = world.saved["fixed-ram"]
    before = world.json("info", path)
    after = world.json("info", converted(world, "fixed-ram"))
    for key in ("id", "machine", "blocks", "devices"):
        equal(after[key], before[key], key)
    sparse = world.json("info", converted(world, "fixed-ram", "--sparse"))
    out = world.path("moved")
    world.run("convert", path, f"file:{out},offset=3M")
    moved = world.json("info", f"file:{out},offset=3M")
    equal(len({i["id"] for i in (before, sparse, moved)}), 3, "different ids")
    world.run("check", f"file:{out},offset=3M")
    equal(moved["machine"], before["machine"], "machine")


@test("convert/offset")
def test_offset(world):
    out = world.path("behind")
    before = os.urandom(OFFSET)
    out.write_bytes(before + bytes(100))
    world.run("convert", "-p", world.saved["offset"],
              f"file:{out},offset={OFFSET}")
    true(read_at(out, 0, OFFSET) == before, "what was before it has changed")
    world.run("check", f"--offset={OFFSET}", out)
    world.run("compare", world.saved["stream"], f"file:{out},offset={OFFSET}")


@test("convert/sparse")
def test_sparse(world):
    """A page of zeros that the file pretends to have data for"""
    path = world.copy(world.saved["mapped-ram"], "pretends")
    set_bit(path, bitmap_at(path), CONTENT_AT // PAGE + 4)
    pages = [world.json("info", name)["blocks"][0]["data-pages"]
             for name in (world.saved["mapped-ram"], path)]
    equal(pages[1], pages[0] + 1, "the test itself")
    out = world.path("sparse")
    for options, expected in (([], pages[1]), (["--sparse"], pages[0])):
        world.run("convert", *options, path, out)
        got = world.json("info", out)["blocks"][0]["data-pages"]
        equal(got, expected, f"data pages with {options}")
        world.run("check", out)
        world.run("compare", path, out)


def load_and_compare(world, qemu, path, capabilities):
    again = world.path("again")
    with Vm(qemu) as vm:
        vm.load(path, capabilities)
        vm.save(again, ["mapped-ram"])
    world.run("compare", path, again)


@test("convert/load")
def test_load(world):
    """What was converted is loaded in all ways, and nothing is lost"""
    for kind in ("stream", "mapped-ram", "fixed-ram"):
        path = converted(world, kind)
        for name, capabilities in LOADS.items():
            try:
                load_and_compare(world, world.qemu, path, capabilities)
            except QMPError as e:
                if name == "demand" and "userfaultfd" in str(e):
                    raise Skip("no userfaultfd here") from e
                raise


@test("convert/load-stock")
def test_load_stock(world):
    stock = os.environ.get("QTEST_QEMU_STOCK")
    if not stock:
        raise Skip("QTEST_QEMU_STOCK does not name a QEMU without fixed-ram")
    for kind in ("stream", "fixed-ram"):
        load_and_compare(world, stock, converted(world, kind), ["mapped-ram"])


@test("convert/refused")
def test_refused(world):
    out = world.path("refused")
    stream = beginning("pc.ram", 4 * PAGE)
    for flags, word in ((0x200, "multifd"), (0x40, "xbzrle"),
                        (0x100, "compress"), (0x80, "RDMA"),
                        (0x400, "flags")):
        bad = world.path("bad")
        bad.write_bytes(stream + record(0, flags | FULL, bytes(PAGE)))
        said = world.run("convert", bad, out, status=1)
        true(word in said, said)
        true(not out.exists(), f"{word}: a file is left")


@test("convert/damaged")
def test_damaged(world):
    """Damage does not get checksums of its own"""
    path = world.copy(world.converted, "damaged")
    out = world.path("from-damaged")
    flip(path, world.data_ranges(path)[3]["offset"] + 5)
    said = world.run("convert", path, out, status=1)
    true("damaged" in said and not out.exists(), said)
    world.run("extract", "-b", "pc.ram", path, out, status=1)
    world.run("extract", "--force", "-b", "pc.ram", path, out, status=2)


@test("convert/locks")
def test_locks(world):
    path = world.copy(world.converted, "locked")
    before = path.read_bytes()
    said = world.run("convert", path, path, status=1)
    true("is read" in said, said)
    lock = struct.pack("hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
    with open(path, "r+b") as f:
        fcntl.fcntl(f, fcntl.F_OFD_SETLK, lock)
        said = world.run("convert", world.saved["stream"], path, status=1)
        true("has locked it" in said, said)
        world.run("check", path)
    with open(path, "r+b") as f:
        fcntl.fcntl(f, fcntl.F_OFD_SETLK, struct.pack(
            "hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
        said = world.run("info", path, status=1)
        true("being written" in said, said)
    true(path.read_bytes() == before, "it was written to")


@test("convert/fails")
def test_fails(world):
    """A disk that is full at the end, and a process that is killed there"""
    limit = os.stat(world.converted).st_size - 100

    def no_more(handler):
        def prepare():
            signal.signal(signal.SIGXFSZ, handler)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        return prepare

    out = world.path("half-written")
    world.run("convert", world.saved["stream"], out, status=1,
              preexec_fn=no_more(signal.SIG_IGN))
    true(not out.exists(), "a file is left")
    world.run("convert", world.saved["stream"], out, status=-signal.SIGXFSZ,
              preexec_fn=no_more(signal.SIG_DFL))
    equal(world.json("info", out)["complete"], False, "complete")
    true("incomplete" in world.run("check", out, status=2), "check")
    # a file that was there before stays, and is no snapshot any more
    world.run("convert", world.saved["stream"], out, status=1,
              preexec_fn=no_more(signal.SIG_IGN))
    world.run("check", out, status=2)
    with Vm(world.qemu) as vm:
        try:
            vm.load(out, ["fixed-ram"])
        except QMPError:
            return
    true(False, "an incomplete snapshot was loaded")


@test("convert/output")
def test_output(world):
    """Output that nobody can take is an error"""
    with open("/dev/full", "wb") as full:
        done = subprocess.run([world.program, "info", world.converted],
                              stdout=full, stderr=subprocess.PIPE,
                              check=False)
    equal(done.returncode, 1, "exit status")
