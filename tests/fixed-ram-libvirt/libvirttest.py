# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests share: a guest, its saved images, and the commands."""

import json
import unittest

from fixed_ram import steps
from fixed_ram.child import finish, run
from fixed_ram.progress import Progress
from fixed_ram_libvirt import loading
from fixed_ram_libvirt.daemon import VirshFailure
from fixed_ram_libvirt.domain import Domain

NAME = "guest"              # one at a time; an image can only be restored so
FILLED_MIB = 48
LIMIT_S = 120
SILENT = Progress(every=LIMIT_S)
STOCK = "/usr/bin/qemu-system-x86_64"       # Debian's, in libvirt's root


def on(parameter, value):
    return ("-global", f"migration.{parameter}={value}")


ON_DEMAND = on("fixed-ram-load-mode", "on-demand")
VERIFIED = on("fixed-ram", "on")
# Not virtio: QEMU 11.1, the stock one beside the newest libvirt, refuses the
# queues of this base's virtio-blk, whichever format they were saved in.
DISK = """<disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/>
      <source file='{path}'/>
      <target dev='hda' bus='ide'/>
    </disk>"""
# Faults are served, loaders take a minute.
SLOWLY = on("max-postcopy-bandwidth", 1 << 20)


class LibvirtTest(unittest.TestCase):
    """run.py sets these; `images` are what all tests restore from"""

    libvirt = build = None
    generations = 0
    images = {}

    def setUp(self):
        self.domain = None

    def tearDown(self):
        if self.domain:
            self.domain.end()
        self.domain = None

    def equal(self, got, expected, what):
        self.assertEqual(got, expected, what)

    def true(self, condition, what):
        self.assertTrue(condition, what)

    def says(self, text, *parts):
        """A text has all of these parts, in this order"""
        rest = text
        for part in parts:
            self.true(part in rest, f"'{part}' is not in its place in: {text}")
            rest = rest.split(part, 1)[1]

    def path(self, name):
        return self.libvirt.folder / name

    # ---- the guest ----

    def define(self, *options, emulator=None):
        """The domain with these options; the one before it ends"""
        self.tearDown()
        disk = self.path("disk.qcow2")
        if not disk.exists():
            run([self.build / "qemu-img", "create", "-q", "-f", "qcow2", disk,
                 "64M"], LIMIT_S)
        self.domain = Domain(self.libvirt, NAME, options=options,
                             emulator=emulator,
                             devices=DISK.format(path=disk))
        return self.domain

    def boot(self, *options, **more):
        domain = self.define(*options, **more)
        domain.boot()
        domain.command(f"fill {FILLED_MIB}", "^fill ok")
        domain.command("tick 100", r"^tick \d")
        return domain

    def image(self, kind):
        """A sparse image: "verified", "plain" or "stock" """
        if kind not in self.images:
            self.boot(*(VERIFIED if kind == "verified" else ()),
                      emulator=STOCK if kind == "stock" else None)
            self.images[kind] = self.save(f"{kind}.image", "sparse")
        return self.images[kind]

    def save(self, name, image_format, *words):
        path = self.path(name)
        path.unlink(missing_ok=True)
        self.domain.virsh("save", path, "--image-format", image_format,
                          *words)
        return path

    def restore(self, path, *options, words=(), **more):
        """Restore with these options in the place of those in the image"""
        domain = self.define(*options, **more)
        domain.restore(path, *words)
        return domain

    def verify(self):
        """Every page of the guest is as it was filled"""
        self.equal(steps.verify(self.domain, FILLED_MIB, SILENT), None,
                   "what the guest finds wrong")
        self.domain.command("tick 100", r"^tick \d")

    # ---- QEMU's monitor, by libvirt ----

    def qmp(self, command, **arguments):
        return loading.qmp(self.domain, command, **arguments)

    def load_job(self):
        return loading.load_job(self.domain)

    def wait_loaded(self):
        loading.wait_loaded(self.domain, LIMIT_S)

    def figures(self):
        return self.qmp("query-migrate")

    def full_speed(self):
        self.qmp("migrate-set-parameters", **{"max-postcopy-bandwidth": 0})

    def assert_on_demand(self, verified):
        figures = self.figures()["fixed-ram"]
        self.equal((figures["on-demand"], figures["verified"]),
                   (True, verified), "on demand, verified")

    # ---- programs ----

    def refused(self, call, *words, **more):
        """What virsh says when it fails, as it must"""
        try:
            call(*words, **more)
        except VirshFailure as e:
            return str(e)
        return self.fail("this was not refused")

    def tool(self, *words, status=0):
        """What qemu-snapshot prints"""
        got, out, err = finish([self.build / "qemu-snapshot", *words],
                               LIMIT_S)
        self.equal(got, status, f"exit status: {words}: {out[-500:]}{err}")
        return out + err if status else out

    def info(self, path):
        return json.loads(self.tool("info", "--output=json", path))
