# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs that are run for what they print."""

from contextlib import contextmanager
import json
import os
import signal
import subprocess

from .guest import describe_status
from .qmp import Failure


@contextmanager
def started(command):
    """A program in a session of its own; it and its own do not outlive us"""
    try:
        process = subprocess.Popen(
            [str(word) for word in command], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            errors="replace", start_new_session=True)
    except OSError as e:
        raise Failure(f"cannot start {command[0]}: {e.strerror}") from e
    try:
        yield process
    finally:
        if process.poll() is None:
            # not reaped yet, so the number is still its group's
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        process.stdout.close()
        process.stderr.close()


def run(command, timeout):
    """What it prints; Failure if it fails or takes too long"""
    name = os.path.basename(str(command[0]))
    with started(command) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            raise Failure(f"{name}: not done within {timeout:g} s") from None
        if process.returncode:
            said = " | ".join((err or out).split("\n")).strip(" |")[-500:]
            raise Failure(f"{name} failed "
                          f"({describe_status(process.returncode)}): {said}")
    return out


def run_json(command, timeout):
    """The same, of one JSON value; lines may stand before it"""
    out = run(command, timeout)
    try:
        return json.loads(out[out.index("{"):])
    except ValueError as e:
        raise Failure(f"{command[0]} printed something else than JSON: "
                      f"{out.strip()[:200]}") from e
