# SPDX-License-Identifier: GPL-2.0-or-later
"""What each clone has of its own: a name, numbers, overlays, sockets."""

import os
from pathlib import Path
from typing import NamedTuple
import uuid

from fixed_ram.child import run, run_json

PREFIX = "clone-"


class Identity(NamedTuple):
    number: int             # from 1 on
    guid: str               # of vmgenid: never used before
    folder: Path            # of all clones' files
    overlays: tuple = ()    # one for each disk of the snapshot

    @property
    def name(self):
        return f"{PREFIX}{self.number}"

    @property
    def monitor(self):
        """A QMP socket for the user; a relative path, since long ones fail"""
        return Path(os.path.relpath(self.folder / f"{self.name}.qmp"))

    def filled_in(self, option):
        """The option with what is written in braces there"""
        words = {"name": self.name, "number": self.number, "guid": self.guid}
        words.update((f"disk{n}" if n > 1 else "disk", overlay)
                     for n, overlay in enumerate(self.overlays, 1))
        for word, value in words.items():
            option = option.replace("{" + word + "}", str(value))
        return option


def identities(number, folder, disks):
    """disks: how many overlays each of them has"""
    for n in range(1, number + 1):
        overlays = tuple(folder / f"{PREFIX}{n}-{d}.qcow2"
                         for d in range(1, disks + 1))
        yield Identity(n, str(uuid.uuid4()), folder, overlays)


def make_overlay(qemu_img, disk, overlay):
    """The disk is never written: it belongs to the snapshot"""
    disk = disk.resolve()
    form = run_json([qemu_img, "info", "--output=json", disk], 60)["format"]
    run([qemu_img, "create", "-q", "-f", "qcow2", "-F", form, "-b", disk,
         overlay], 60)


def remove_files(folder):
    """Overlays and sockets, also of a run that was killed"""
    for pattern in ("*.qcow2", "*.qmp"):
        for path in folder.glob(PREFIX + pattern):
            path.unlink()
