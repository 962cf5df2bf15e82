# SPDX-License-Identifier: GPL-2.0-or-later
"""A domain whose guest is that of tests/fixed-ram-guest."""

import queue
import shutil
import socket
import threading
import uuid
from xml.sax.saxutils import escape, quoteattr

from fixed_ram.guest import APPEND, Serial
from fixed_ram.qmp import Failure

from .daemon import VirshFailure

BOOT_S = 180
START_S = 60
# A domain of the same name is the same domain.
NAMESPACE = uuid.UUID("3dbb1c0e-5f3a-4d57-9c4c-3c6f0f1c8a52")
XML = """<domain type='qemu'
    xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  <memory unit='MiB'>{memory}</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='pc-i440fx-10.0'>hvm</type>
    <kernel>{folder}/vmlinuz</kernel>
    <initrd>{folder}/initrd</initrd>
    <cmdline>{append}</cmdline>
  </os>
  <features><acpi/></features>
  <devices>
    <emulator>{emulator}</emulator>
    <serial type='unix'>
      <source mode='connect' path='{folder}/{name}.sock'/>
    </serial>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
    {devices}
  </devices>
  <qemu:commandline>{arguments}</qemu:commandline>
</domain>
"""


class Domain:
    """One domain of a Libvirt; its serial port connects to us

    options: what QEMU gets by qemu:commandline
    """

    def __init__(self, libvirt, name, memory=256, options=(), emulator=None,
                 devices=""):
        self.libvirt, self.name = libvirt, name
        self.serial = None
        self.xml = XML.format(
            name=name, uuid=uuid.uuid5(NAMESPACE, name), memory=memory,
            folder=libvirt.folder,
            append=escape(APPEND), emulator=emulator or libvirt.emulator,
            devices=devices, arguments="".join(
                f"<qemu:arg value={quoteattr(word)}/>" for word in options))
        path = libvirt.folder / f"{name}.sock"
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        path.chmod(0o666)
        self._ports = queue.Queue()
        threading.Thread(target=self._accept, daemon=True).start()

    def end(self):
        """Ends its QEMU, if there is one, and forgets what libvirt kept"""
        for words in (("destroy",), ("managedsave-remove",),
                      ("undefine", "--snapshots-metadata")):
            try:
                self.virsh(*words)
            except VirshFailure:
                pass        # there was none
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def virsh(self, command, *words, **more):
        """A command of virsh whose first argument is the domain"""
        return self.libvirt.virsh(command, self.name, *words, **more)

    def _xml_file(self):
        path = self.libvirt.folder / f"{self.name}.xml"
        path.write_text(self.xml)
        return path

    def define(self):
        """Have libvirt keep it, as managedsave wants it"""
        self.libvirt.virsh("define", self._xml_file())

    def _accept(self):
        """A thread: a QEMU may print before the virsh that starts it returns"""
        while True:
            try:
                sock = self._listener.accept()[0]
            except OSError:
                return              # it was closed
            self._ports.put(Serial(sock))

    def _started_by(self, *words):
        """A command of virsh that starts a QEMU, whose serial port we take"""
        self.libvirt.virsh(*words)
        try:
            self.serial = self._ports.get(timeout=START_S)
        except queue.Empty:
            raise Failure(f"no QEMU of {self.name} was started") from None

    def boot(self):
        """A new guest"""
        self._started_by("create", self._xml_file())
        self.serial.wait_line("^ready$", BOOT_S)

    def load(self):
        """A new domain whose own options load a guest"""
        self._started_by("create", self._xml_file())

    def restore(self, image, *words):
        """With our XML in the place of the image's"""
        self._started_by("restore", image, "--xml", self._xml_file(), *words)

    def start(self):
        """What was defined; the guest is that of a managed save"""
        self._started_by("start", self.name)

    def command(self, line, pattern, timeout=120, each=None):
        """Send the guest a command and wait for the line that answers it"""
        return self.serial.wait_line(pattern, timeout, self.serial.send(line),
                                     each)

    def state(self):
        return self.virsh("domstate")


def install_guest(folder, kernel, initrd):
    """Copies: libvirt gives the files of a domain to QEMU's user"""
    shutil.copy(kernel, folder / "vmlinuz")
    shutil.copy(initrd, folder / "initrd")
