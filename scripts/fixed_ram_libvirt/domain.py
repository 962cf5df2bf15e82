# SPDX-License-Identifier: GPL-2.0-or-later
"""A domain whose guest is that of tests/fixed-ram-guest."""

import shutil
import socket
from xml.sax.saxutils import escape, quoteattr

from fixed_ram.guest import APPEND, Serial
from fixed_ram.qmp import Failure

BOOT_S = 180
XML = """<domain type='qemu'
    xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>{name}</name>
  <memory unit='MiB'>{memory}</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>
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
            name=name, memory=memory, folder=libvirt.folder,
            append=escape(APPEND), emulator=emulator or libvirt.emulator,
            devices=devices, arguments="".join(
                f"<qemu:arg value={quoteattr(word)}/>" for word in options))
        path = libvirt.folder / f"{name}.sock"
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        path.chmod(0o666)

    def close(self):
        self._listener.close()

    def virsh(self, command, *words, **more):
        """A command of virsh whose first argument is the domain"""
        return self.libvirt.virsh(command, self.name, *words, **more)

    def start(self):
        path = self.libvirt.folder / f"{self.name}.xml"
        path.write_text(self.xml)
        self.libvirt.virsh("create", str(path))
        self.connect()
        self.serial.wait_line("^ready$", BOOT_S)

    def connect(self, timeout=30):
        """Take the serial port of the domain's next QEMU"""
        self._listener.settimeout(timeout)
        try:
            sock = self._listener.accept()[0]
        except TimeoutError:
            raise Failure(f"the QEMU of {self.name} did not start") from None
        sock.settimeout(None)
        self.serial = Serial(sock)

    def command(self, line, pattern, timeout=120):
        """Send the guest a command and wait for the line that answers it"""
        return self.serial.wait_line(pattern, timeout, self.serial.send(line))

    def state(self):
        return self.virsh("domstate")


def install_guest(libvirt_folder, kernel, initrd):
    """Copies: libvirt gives the files of a domain to QEMU's user"""
    libvirt_folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(kernel, libvirt_folder / "vmlinuz")
    shutil.copy(initrd, libvirt_folder / "initrd")
