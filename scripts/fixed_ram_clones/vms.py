# SPDX-License-Identifier: GPL-2.0-or-later
"""The VMs that are cloned: one that we make and save, or the user's."""

from contextlib import ExitStack, contextmanager
import hashlib
from pathlib import Path
from typing import NamedTuple

from fixed_ram.child import run
from fixed_ram.guest import Guest, Machine
from fixed_ram.machine import (GUEST_RESERVE_MIB, RESERVE_MIB, available_mib,
                               choose_accelerator)
from fixed_ram.pagecache import drop_from_page_cache
from fixed_ram.qmp import Failure
from fixed_ram.session import build_guest_image, check_files, temporary_file
from fixed_ram.steps import boot, fill, save, verify

TICK_MS = 20
DISK_SIZE = "64M"
# A disk that the guest does not use, and the identity that it may look at.
OPTIONS = ("-drive", "if=none,id=disk,file={disk},format=qcow2",
           "-device", "virtio-blk-pci,drive=disk",
           "-device", "vmgenid,guid={guid}")


class Quiet:
    """Progress of many at once would be of no use"""

    def update(self, _text):
        pass


class Files(NamedTuple):
    qemu: Path
    qemu_img: Path
    snapshot_tool: Path
    kernel: Path
    initrd: Path


def files_of(build, kernel):
    return Files(build / "qemu-system-x86_64", build / "qemu-img",
                 build / "qemu-snapshot", kernel,
                 build / "guest" / "initramfs.cpio.gz")


def with_name(identity, options, held):
    own = ["-name", identity.name,
           *(identity.filled_in(option) for option in options)]
    if held:
        own += ["-qmp", f"unix:{identity.monitor},server=on,wait=off"]
    return own


class OurVM:
    """The benchmarks' guest; it can tell whether its memory is right"""

    def __init__(self, args, files, progress):
        self.files, self.progress = files, progress
        self.memory, self.fill = args.memory or 512, args.fill
        self.folder, self.held = args.output, args.hold
        if self.fill is None:
            self.fill = self.memory // 2
        self.disks = [args.output / "disk.qcow2"]
        check_files(files)
        build_guest_image(args.build_dir)
        self._check_memory(args.number)
        self.accel, text = choose_accelerator(files, args.accel, progress)
        progress.start("guest")
        progress.done(f"{self.memory} MiB of RAM, of which {self.fill} MiB "
                      f"will be filled; {text}")

    def _check_memory(self, number):
        each = min(self.memory, self.fill + GUEST_RESERVE_MIB)
        room = available_mib() - RESERVE_MIB
        if number * each > room:
            raise Failure(f"{number} clones of {each} MiB may need "
                          f"{number * each} MiB, {room} MiB are free: give "
                          "a smaller --number or --memory")

    def _guest(self, options):
        return Guest(self.files.qemu, self.files.kernel, self.files.initrd,
                     self.memory, self.accel, options)

    @contextmanager
    def snapshot(self):
        """The file, and the disk as it was at the save"""
        with ExitStack() as stack:
            path = stack.enter_context(
                temporary_file(self.folder / "clones.snapshot"))
            stack.enter_context(temporary_file(self.disks[0]))
            run([self.files.qemu_img, "create", "-q", "-f", "qcow2",
                 self.disks[0], DISK_SIZE], 60)
            self._save(path)
            yield path

    def _save(self, path):
        options = [option.replace("{disk}", str(self.disks[0]))
                   .replace("{guid}", "auto") for option in OPTIONS]
        with self._guest(options) as guest:
            boot(guest, self.progress)
            fill(guest, self.fill, self.progress)
            guest.command(f"tick {TICK_MS}", r"^tick \d+ t=", 60)
            save(guest, path, self.progress)

    def start(self, identity):
        return self._guest(["-incoming", "defer",
                            *with_name(identity, OPTIONS, self.held)])

    def verify(self, herd):
        """What is wrong with the clones' memory, in a list"""
        self.progress.start("verify")
        self.progress.update("each clone compares all of its memory")
        wrong = [f"{identity.name}: {text}" for (identity, _), text
                 in zip(herd.clones, herd.each(verify, self.fill, Quiet()))
                 if text]
        self.progress.done(f"{len(wrong)} clones are wrong" if wrong else
                           "every page of every clone is right")
        return wrong


class UsersMachine(Machine):
    machine = ("-display", "none")
    patience_s = 5


class UsersVM:
    """Its options are the user's, and must be those of the VM that was saved"""

    def __init__(self, args, files, _progress):
        self.files, self.disks = files, args.disk
        self.held, self.options = args.hold, list(args.options)
        self.path, self.has_serial = args.snapshot, args.serial
        if args.memory:
            self.options += ["-m", str(args.memory)]
        for path in (files.qemu, self.path, *self.disks):
            if not path.is_file():
                raise Failure(f"{path} is missing")

    @contextmanager
    def snapshot(self):
        yield self.path

    def start(self, identity):
        return UsersMachine(self.files.qemu, [
            "-incoming", "defer",
            *with_name(identity, self.options, self.held)], self.has_serial)

    @staticmethod
    def verify(_herd):
        return []


def checksum(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def make_cold(path):
    """Whether nothing of it is left in this machine's page cache"""
    return drop_from_page_cache(path) == 0
