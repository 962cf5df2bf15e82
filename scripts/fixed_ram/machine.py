# SPDX-License-Identifier: GPL-2.0-or-later
"""What this machine has: memory, and a KVM that is of use or not."""

import os
from pathlib import Path
import re

from .guest import Guest
from .qmp import Failure

RESERVE_MIB = 1024          # of memory and of disk, what stays free
GUEST_RESERVE_MIB = 192     # what the guest's kernel and programs need
KVM_TRIAL_S = 6             # under TCG the guest is up in 3


def meminfo_mib(field):
    text = Path("/proc/meminfo").read_text()
    return int(re.search(rf"^{field}: +(\d+)", text, re.M)[1]) // 1024


def available_mib():
    return meminfo_mib("MemAvailable")


def kvm_works(files):
    """None if a guest boots under KVM as quickly as under TCG, else why not

    Only a trial tells: in a virtual machine /dev/kvm may be there and yet too
    slow for any guest.
    """
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "no access to /dev/kvm"
    try:
        with Guest(files.qemu, files.kernel, files.initrd, 512,
                   "kvm") as guest:
            guest.serial.wait_line("^ready$", KVM_TRIAL_S)
            guest.command("fill 128", "^fill ok", 3)
    except (Failure, TimeoutError):
        return f"no guest came up under it within {KVM_TRIAL_S} s"
    return None


def choose_accelerator(files, wanted, progress):
    """Which one, and why; files: an object with qemu, kernel and initrd"""
    if wanted != "auto":
        return wanted, f"--accel {wanted}"
    progress.start("accelerator")
    progress.update("trying KVM")
    why_not = kvm_works(files)
    if why_not:
        return "tcg", f"TCG; not KVM: {why_not}"
    return "kvm", "KVM: a guest boots under it"
