# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs that are run for what they print."""

from contextlib import contextmanager
import json
import os
import signal
import subprocess

from .qemu import describe_status
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


def name_of(command):
    return os.path.basename(str(command[0]))


def finish(command, timeout):
    """Its status, output and errors; Failure if it takes too long"""
    with started(command) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            raise Failure(f"{name_of(command)}: not done within {timeout:g} "
                          "s") from None
        return process.returncode, out, err


def run(command, timeout):
    """What it prints; Failure if it fails or takes too long"""
    status, out, err = finish(command, timeout)
    if status:
        said = " | ".join((err or out).split("\n")).strip(" |")[-500:]
        raise Failure(f"{name_of(command)} failed "
                      f"({describe_status(status)}): {said}")
    return out


def run_json(command, timeout):
    """The same, of one JSON value; lines may stand before it"""
    out = run(command, timeout)
    try:
        return json.loads(out[out.index("{"):])
    except ValueError as e:
        raise Failure(f"{command[0]} printed something else than JSON: "
                      f"{out.strip()[:200]}") from e
