# SPDX-License-Identifier: GPL-2.0-or-later
"""What QEMU, asked through libvirt, says about its load."""

import json
import time

from fixed_ram.qmp import Failure

LOADED_S = 600


def qmp(domain, command, **arguments):
    """What a command returns; Failure with its error"""
    answer = json.loads(domain.virsh("qemu-monitor-command", json.dumps(
        {"execute": command, "arguments": arguments})))
    if "error" in answer:
        raise Failure(f"{command}: {answer['error']['desc']}")
    return answer["return"]


def load_job(domain):
    """The job of a load that goes on, or None"""
    for job in qmp(domain, "query-jobs"):
        if job["type"] == "fixed-ram-load":
            return job
    return None


def wait_loaded(domain, timeout=LOADED_S):
    end = time.monotonic() + timeout
    while load_job(domain):
        if time.monotonic() > end:
            raise Failure("not loaded: " + json.dumps(
                qmp(domain, "query-migrate")))
        time.sleep(0.1)
