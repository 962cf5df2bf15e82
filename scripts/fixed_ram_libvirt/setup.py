# SPDX-License-Identifier: GPL-2.0-or-later
"""From nothing to a libvirt with a guest that it can boot."""

from contextlib import contextmanager
from pathlib import Path

from fixed_ram.child import run
from fixed_ram.qmp import Failure
from fixed_ram.session import build_guest_image, only_one

from .daemon import Libvirt, why_not
from .domain import install_guest

BASE = Path(__file__).resolve().parent.parent / "base"
FETCH_S = 600


class Unavailable(Failure):
    """libvirt cannot be had or started here; the text says why"""


def fetch(*words):
    """What `scripts/base` prints"""
    return Path(run([BASE, *words], FETCH_S).strip())


def packages(newest):
    reason = why_not()
    if reason:
        raise Unavailable(reason)
    try:
        return fetch("libvirt", *(["newest"] if newest else []))
    except Failure as e:
        raise Unavailable(str(e)) from e


@contextmanager
def started(build, folder, newest=False):
    """A Libvirt with its files in the folder; Unavailable if there is none"""
    root = packages(newest)
    folder.mkdir(parents=True, exist_ok=True)
    with only_one(folder / "lock"):
        build_guest_image(build)
        install_guest(folder, fetch("kernel"),
                      build / "guest" / "initramfs.cpio.gz")
        with Libvirt(root, build, folder) as libvirt:
            yield libvirt
