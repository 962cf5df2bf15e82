# SPDX-License-Identifier: GPL-2.0-or-later
"""What extract and convert write to, and what they must leave alone."""

import fcntl
import os
import resource
import signal
import struct
import subprocess
import threading

from .tap import Skip, equal, test, true
from .vm import MEMORY_MIB, Vm
from .world import flip

IMAGE_BYTES = 8 << 20


def commands(world, out):
    """The commands that write, each with @out as its target"""
    return (("extract", "--block=pc.ram", world.converted, out),
            ("convert", world.saved["stream"], out))


def refused(world, path, out, words):
    """Both commands say @words and leave the file @path as it is"""
    before = path.read_bytes()
    for command in commands(world, out):
        said = world.run(*command, status=1)
        true(words in said, f"{command}: {said}")
        true(path.read_bytes() == before, f"{command}: the file has changed")


@test("write/disk-image")
def test_disk_image(world):
    """The disk of a VM that runs, from its start and behind it"""
    image = world.path("image")
    image.write_bytes(os.urandom(IMAGE_BYTES))
    disk = ("-blockdev", f"driver=file,filename={image},node-name=disk,"
            "locking=on", "-device", "virtio-blk,drive=disk")
    with Vm(world.qemu, world.path("memory"), more=disk):
        refused(world, image, image, "locked")
        refused(world, image, f"file:{image},offset=1M", "locked")
    for command in commands(world, image):
        world.run(*command)


@test("write/snapshot-in-use")
def test_snapshot_in_use(world):
    """A snapshot that is loaded, and one that is saved"""
    path = world.copy(world.converted, "in-use")
    for kind in (fcntl.F_RDLCK, fcntl.F_WRLCK):
        with open(path, "r+b") as f:
            fcntl.fcntl(f, fcntl.F_OFD_SETLK, struct.pack(
                "hhqqi4x", kind, os.SEEK_SET, 0, 0, 0))
            refused(world, path, path, "locked")


@test("write/itself")
def test_itself(world):
    path = world.copy(world.saved["stream"], "itself")
    link = world.path("link")
    link.unlink(missing_ok=True)
    os.link(path, link)
    before = path.read_bytes()
    for command in (("extract", "--block=pc.ram"), ("convert",)):
        said = world.run(*command, path, link, status=1)
        true("file that is read" in said, said)
        true(path.read_bytes() == before, "the file has changed")


@test("write/early-failures")
def test_early_failures(world):
    """An existing file survives what fails before the first byte is written"""
    out = world.path("precious")
    out.write_bytes(b"precious")
    bad = world.copy(world.converted, "bad")
    flip(bad, world.superblock_at(bad) + 40)
    snapshot = world.converted
    for words in (("convert", bad, out), ("convert", world.path("none"), out),
                  ("convert", world.saved["stream"], f"file:{out},offset=x"),
                  ("extract", "--block=pc.ram", bad, out),
                  ("extract", "--block=nothing", snapshot, out),
                  ("extract", "--block=pc.ram", "--range=1G+1", snapshot,
                   out)):
        world.run(*words, status=1)
        equal(out.read_bytes(), b"precious", f"after {words}")

    def no_large_files():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

    for command in commands(world, out):
        said = world.run(*command, status=1, preexec_fn=no_large_files)
        true("bytes long" in said, said)
        equal(out.read_bytes(), b"precious", f"after {command}")


@test("write/new-file")
def test_new_file(world):
    """A file that the command has created goes if the command fails"""
    bad, out = world.copy(world.converted, "bad"), world.path("new")
    flip(bad, world.data_ranges(bad)[3]["offset"])
    for command in (("extract", "--block=pc.ram", bad, out),
                    ("convert", bad, out)):
        world.run(*command, status=1)
        true(not out.exists(), f"{command}: a file is left")


def raw_ram(world):
    out = world.path("raw")
    world.run("extract", "--block=pc.ram", world.converted, out)
    return out.read_bytes()


@test("write/pipe")
def test_pipe(world):
    """extract writes zero pages to a pipe, too"""
    expected = raw_ram(world)
    for out in ("-", "/dev/stdout"):
        done = subprocess.run(
            [world.program, "extract", "--block=pc.ram", world.converted, out],
            capture_output=True, check=True)
        true(done.stdout == expected, f"{out}: other content")
    done = subprocess.run(
        [world.program, "extract", "--block=pc.ram", "--range=16M+5000",
         world.converted, "-"], capture_output=True, check=True)
    true(done.stdout == expected[16 << 20:][:5000], "range: other content")


@test("write/fifo")
def test_fifo(world):
    """A FIFO with a reader is written, and one without is refused"""
    fifo, got = world.path("fifo"), []
    os.mkfifo(fifo)
    for command in commands(world, fifo):
        said = world.run(*command, status=1)
        true("no process reads" in said, said)
    fd = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(fd, True)
    with open(fd, "rb") as f:
        reader = threading.Thread(target=lambda: got.append(f.read()))
        opened = os.open(fifo, os.O_WRONLY)
        reader.start()
        try:
            world.run("extract", "--block=pc.ram", world.converted, fifo)
            said = world.run("convert", world.converted, fifo, status=1)
        finally:
            os.close(opened)
            reader.join()
    true("not a regular file" in said, said)
    true(got[0] == raw_ram(world), "other content")


@test("write/devices")
def test_devices(world):
    for device, words in (("/dev/null", None),
                          ("/dev/full", "No space left on device")):
        extract, convert = commands(world, device)
        if words:
            said = world.run(*extract, status=1)
            true(words in said, said)
        else:
            world.run(*extract)
        said = world.run(*convert, status=1)
        true("not a regular file" in said, said)


@test("write/block-device")
def test_block_device(world):
    image = world.path("image")
    with open(image, "wb") as f:
        f.truncate(IMAGE_BYTES)
    done = subprocess.run(["losetup", "-f", "--show", image], check=False,
                          capture_output=True, text=True)
    if done.returncode:
        raise Skip("losetup makes no block device here")
    try:
        for command in commands(world, done.stdout.strip()):
            said = world.run(*command, status=1)
            true("block device" in said, said)
    finally:
        subprocess.run(["losetup", "-d", done.stdout.strip()], check=True)


@test("write/offset")
def test_offset(world):
    """extract, too, leaves alone what is before the offset"""
    out = world.path("behind")
    out.write_bytes(b"before" + bytes([255]) * 100)
    world.run("extract", "--block=pc.ram", world.converted,
              f"file:{out},offset=6")
    true(out.read_bytes() == b"before" + raw_ram(world), "other content")
    equal(out.stat().st_size, 6 + (MEMORY_MIB << 20), "length")
