# SPDX-License-Identifier: GPL-2.0-or-later
"""What extract and convert write to, and what they must leave alone."""

import fcntl
import os
import resource
import signal
import struct
import subprocess
import threading

from machine import MEMORY_MIB
from stream import CONTINUE, FULL, PAGE, beginning, ending, record
from tooltest import ToolTest, flip, read_at

IMAGE_BYTES = 8 << 20
TERA_PAGES, GIB_PAGES = (1 << 40) // PAGE, (1 << 30) // PAGE


class WriteTest(ToolTest):
    def commands(self, out):
        """The commands that write, each with @out as its target"""
        return (("extract", "--block=pc.ram", self.converted, out),
                ("convert", self.saved["stream"], out))

    def refused(self, path, out, words):
        """Both commands say @words and leave the file @path as it is"""
        before = path.read_bytes()
        for command in self.commands(out):
            said = self.tool(*command, status=1)
            self.true(words in said, f"{command}: {said}")
            self.true(path.read_bytes() == before,
                      f"{command}: the file has changed")

    def test_disk_image(self):
        """The disk of a VM that runs, from its start and behind it"""
        image = self.path("image")
        image.write_bytes(os.urandom(IMAGE_BYTES))
        disk = ("-blockdev", f"driver=file,filename={image},node-name=disk,"
                "locking=on", "-device", "virtio-blk,drive=disk")
        with self.machine(self.path("memory"), more=disk):
            self.refused(image, image, "locked")
            self.refused(image, f"file:{image},offset=1M", "locked")
        for command in self.commands(image):
            self.tool(*command)

    def test_snapshot_in_use(self):
        """A snapshot that is loaded, and one that is saved"""
        path = self.copy(self.converted, "in-use")
        for kind in (fcntl.F_RDLCK, fcntl.F_WRLCK):
            with open(path, "r+b") as f:
                fcntl.fcntl(f, fcntl.F_OFD_SETLK, struct.pack(
                    "hhqqi4x", kind, os.SEEK_SET, 0, 0, 0))
                self.refused(path, path, "locked")

    def test_itself(self):
        path = self.copy(self.saved["stream"], "itself")
        link = self.path("link")
        link.unlink(missing_ok=True)
        os.link(path, link)
        before = path.read_bytes()
        for command in (("extract", "--block=pc.ram"), ("convert",)):
            said = self.tool(*command, path, link, status=1)
            self.true("file that is read" in said, said)
            self.true(path.read_bytes() == before, "the file has changed")

    def test_early_failures(self):
        """An existing file survives what fails before the first write"""
        out = self.path("precious")
        out.write_bytes(b"precious")
        bad = self.copy(self.converted, "bad")
        flip(bad, self.superblock_at(bad) + 40)
        snapshot = self.converted
        for words in (("convert", bad, out),
                      ("convert", self.path("none"), out),
                      ("convert", self.saved["stream"],
                       f"file:{out},offset=x"),
                      ("extract", "--block=pc.ram", bad, out),
                      ("extract", "--block=nothing", snapshot, out),
                      ("extract", "--block=pc.ram", "--range=1G+1", snapshot,
                       out)):
            self.tool(*words, status=1)
            self.equal(out.read_bytes(), b"precious", f"after {words}")

        def no_large_files():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

        for command in self.commands(out):
            said = self.tool(*command, status=1, preexec_fn=no_large_files)
            self.true("bytes long" in said, said)
            self.equal(out.read_bytes(), b"precious", f"after {command}")

    def test_new_file(self):
        """A file that the command has created goes if the command fails"""
        bad, out = self.copy(self.converted, "bad"), self.path("new")
        flip(bad, self.data_ranges(bad)[3]["offset"])
        for command in (("extract", "--block=pc.ram", bad, out),
                        ("convert", bad, out)):
            self.tool(*command, status=1)
            self.true(not out.exists(), f"{command}: a file is left")

    def raw_ram(self):
        out = self.path("raw")
        self.tool("extract", "--block=pc.ram", self.converted, out)
        return out.read_bytes()

    def test_pipe(self):
        """extract writes zero pages to a pipe, too"""
        expected = self.raw_ram()
        for out in ("-", "/dev/stdout"):
            done = subprocess.run(
                [self.program, "extract", "--block=pc.ram", self.converted,
                 out],
                capture_output=True, check=True)
            self.true(done.stdout == expected, f"{out}: other content")
        done = subprocess.run(
            [self.program, "extract", "--block=pc.ram", "--range=16M+5000",
             self.converted, "-"], capture_output=True, check=True)
        self.true(done.stdout == expected[16 << 20:][:5000],
                  "range: other content")

    def test_fifo(self):
        """A FIFO with a reader is written, and one without is refused"""
        fifo, got = self.path("fifo"), []
        os.mkfifo(fifo)
        for command in self.commands(fifo):
            said = self.tool(*command, status=1)
            self.true("no process reads" in said, said)
        fd = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        os.set_blocking(fd, True)
        with open(fd, "rb") as f:
            reader = threading.Thread(target=lambda: got.append(f.read()))
            opened = os.open(fifo, os.O_WRONLY)
            reader.start()
            try:
                self.tool("extract", "--block=pc.ram", self.converted, fifo)
                said = self.tool("convert", self.converted, fifo, status=1)
            finally:
                os.close(opened)
                reader.join()
        self.true("not a regular file" in said, said)
        self.true(got[0] == self.raw_ram(), "other content")

    def test_devices(self):
        for device, words in (("/dev/null", None),
                              ("/dev/full", "No space left on device")):
            extract, convert = self.commands(device)
            if words:
                said = self.tool(*extract, status=1)
                self.true(words in said, said)
            else:
                self.tool(*extract)
            said = self.tool(*convert, status=1)
            self.true("not a regular file" in said, said)

    def test_block_device(self):
        image = self.path("image")
        with open(image, "wb") as f:
            f.truncate(IMAGE_BYTES)
        done = subprocess.run(["losetup", "-f", "--show", image], check=False,
                              capture_output=True, text=True)
        if done.returncode:
            self.skipTest("losetup makes no block device here")
        try:
            for command in self.commands(done.stdout.strip()):
                said = self.tool(*command, status=1)
                self.true("block device" in said, said)
        finally:
            subprocess.run(["losetup", "-d", done.stdout.strip()], check=True)

    def test_offset(self):
        """extract, too, leaves alone what is before the offset"""
        out = self.path("behind")
        out.write_bytes(b"before" + bytes([255]) * 100)
        self.tool("extract", "--block=pc.ram", self.converted,
                  f"file:{out},offset=6")
        self.true(out.read_bytes() == b"before" + self.raw_ram(),
                  "other content")
        self.equal(out.stat().st_size, 6 + (MEMORY_MIB << 20), "length")

    def test_terabyte(self):
        """1 TiB of RAM with data only at both ends: no command reads it all"""
        self.terabyte((0, TERA_PAGES - 1))

    def test_terabyte_scattered(self):
        """A page in each GiB: what is on disk depends on the data alone"""
        size = self.terabyte(range(123, TERA_PAGES, GIB_PAGES))
        # a page, its part of the bitmap, its chunk of the table, and each may
        # cost the file system some more
        self.true(size <= 1024 * 5 * PAGE + (1 << 20), f"{size} bytes on disk")

    def terabyte(self, places):
        """Run each command on such RAM; bytes on disk of the snapshot"""
        content = [os.urandom(PAGE) for _ in places]
        stream, out, raw = map(self.path, ("tera.mig", "tera", "tera.raw"))
        stream.write_bytes(b"".join((
            beginning("pc.ram", TERA_PAGES * PAGE),
            *(record(page, FULL | (CONTINUE if i else 0), content[i])
              for i, page in enumerate(places)), ending())))
        try:
            with open(out, "wb") as f:
                f.truncate((1 << 40) + (1 << 30))
        except OSError as e:
            self.skipTest(f"this file system has no files of 1 TiB: {e}")
        self.tool("convert", stream, out)
        self.tool("check", out)
        for words in (("compare", stream, out), ("map", out), ("info", out),
                      ("convert", out, self.path("tera2")),
                      ("extract", "--block=pc.ram", out, raw)):
            self.tool(*words)
        self.equal([read_at(raw, page * PAGE, PAGE) for page in places],
                   content, "content")
        size = out.stat().st_blocks * 512
        for path in (out, raw, self.path("tera2")):
            path.unlink()
        return size
