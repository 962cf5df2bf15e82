# SPDX-License-Identifier: GPL-2.0-or-later
"""libvirt's daemon in a root of its own, and virsh."""

import os
from pathlib import Path
import shutil
import signal
import subprocess
import time

from fixed_ram.child import finish
from fixed_ram.qmp import Failure

from .program import install_program

HERE = Path(__file__).resolve().parent
START_S = 60
COMMAND_S = 300
VIRSH = ["virsh", "-q", "-c", "qemu:///system"]
# What cannot work, or is of no use, in a root without systemd and cgroups.
QEMU_CONF = """
cgroup_controllers = [ ]
security_driver = "none"
save_image_format = "sparse"
"""
LIBVIRTD_CONF = """
auth_unix_rw = "none"
log_outputs = "3:stderr"
"""


class VirshFailure(Failure):
    """virsh ended with an error; the text is what it said"""


def why_not():
    """None, or why no libvirt can be started here"""
    if os.geteuid():
        return "starting libvirt needs root"
    for program in ("unshare", "nsenter", "setpriv"):
        if not shutil.which(program):
            return f"there is no {program} (package util-linux)"
    try:
        probe = subprocess.run(
            ["unshare", "--mount", "--pid", "--fork", "true"], text=True,
            capture_output=True, check=False)
    except OSError as e:
        return f"unshare: {e.strerror}"
    return probe.stderr.strip() or None


class Libvirt:
    """Use it in a `with`, which ends the daemon and all of its guests

    packages: the root that `scripts/base libvirt` prints
    folder: for files that libvirt and its guests read and write; known by the
    same name inside, and not removed
    """

    def __init__(self, packages, build, folder, qemu_conf=""):
        self.packages, self.build, self.folder = packages, build, folder
        self._conf = QEMU_CONF + qemu_conf
        self._unshare = None
        self._init = None

    def __enter__(self):
        try:
            self._prepare()
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self._unshare:
            # with init, which it starts, all of the namespace ends
            self._unshare.kill()
            self._unshare.wait()

    def _prepare(self):
        etc = self.folder / "etc"
        etc.mkdir(parents=True, exist_ok=True)
        # QEMU runs as a user that has to get here
        self.folder.chmod(0o755)
        (etc / "qemu.conf").write_text(self._conf)
        (etc / "libvirtd.conf").write_text(LIBVIRTD_CONF)
        (self.folder / "daemon.log").unlink(missing_ok=True)
        self.emulator = install_program(
            self.build / "qemu-system-x86_64", self.folder)

    def _start(self):
        self._unshare = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid",
             "--kill-child", str(HERE / "init"), str(self.packages),
             str(self.folder), str(self.build)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, start_new_session=True)
        end = time.monotonic() + START_S
        while not self._answers():
            if self._unshare.poll() is not None:
                raise Failure("libvirt ended: " + self._last_words())
            if time.monotonic() > end:
                raise Failure(f"libvirt does not answer after {START_S} s: "
                              + self._last_words())
            time.sleep(0.1)

    def _answers(self):
        return self._find_init() and not self._virsh(("uri",), 30)[0]

    def _find_init(self):
        """The first process of the namespace, by its number out here"""
        if not self._init:
            pid = self._unshare.pid
            children = Path(f"/proc/{pid}/task/{pid}/children")
            try:
                self._init = children.read_text().split()[0]
            except (OSError, IndexError):
                return None
        return self._init

    def _last_words(self):
        try:
            log = (self.folder / "daemon.log").read_text(errors="replace")
        except OSError:
            log = self._unshare.stderr.read1(4096).decode(errors="replace")
        return " | ".join(log.strip().splitlines()[-3:])

    # ---- what runs inside ----

    def inside(self, command):
        """A command line that runs a program in libvirt's root"""
        return ["nsenter", "--target", self._init, "--mount", "--pid",
                "env", "LC_ALL=C", *map(str, command)]

    def run(self, command, timeout=COMMAND_S):
        """A program's exit status, output and errors"""
        return finish(self.inside(command), timeout)

    def _virsh(self, words, timeout):
        return self.run(VIRSH + list(words), timeout)

    def virsh(self, *words, timeout=COMMAND_S):
        """What virsh prints; VirshFailure if it fails"""
        status, out, err = self._virsh(words, timeout)
        if status:
            raise VirshFailure((err or out).strip())
        return out.strip()

    def qemu_pid(self, name):
        """The number out here of a domain's QEMU"""
        for status in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = status.read_bytes().split(b"\0")
            except OSError:
                continue
            if f"guest={name},".encode() in b"\0".join(words):
                return int(status.parent.name)
        raise Failure(f"there is no QEMU of the domain {name}")

    def signal(self, name, number=signal.SIGKILL):
        os.kill(self.qemu_pid(name), number)
