# SPDX-License-Identifier: GPL-2.0-or-later
"""What a program that runs guests needs around it."""

from contextlib import contextmanager
import fcntl
import json
import os
from pathlib import Path
import signal
import subprocess
import sys

from .qmp import Failure

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def interrupt(_number, _frame):
    # once: what follows is the cleaning up, and gigabytes may have to go
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def run_to_the_end(name, run, progress):
    """The program's exit status; run() cleans up in its own `with`s"""
    for number in SIGNALS:
        signal.signal(number, interrupt)
    try:
        return run()
    except (Failure, TimeoutError, OSError) as e:
        progress.abandon()
        print(f"{name}: {e}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        progress.abandon()
        print(f"{name}: interrupted", file=sys.stderr)
        return 130


def check_files(files):
    for path, hint in ((files.qemu, "build it first"),
                       (files.kernel, "give a Linux kernel with --kernel")):
        if not path.is_file():
            raise Failure(f"{path} is missing ({hint})")


def build_guest_image(build, modules=()):
    """Quick where there is nothing to do; modules: files of drivers"""
    script = Path(__file__).resolve().parent.parent / "guest-image"
    done = subprocess.run([sys.executable, str(script), "--build", str(build),
                           *(f"--module={path}" for path in modules)],
                          stdout=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise Failure("there is no guest image")


@contextmanager
def temporary_file(path, keep=False):
    """A file that is gone afterwards, and was not there before"""
    path.unlink(missing_ok=True)
    try:
        yield path
    finally:
        if keep and path.exists():
            print(f"Kept: {path}", flush=True)
        else:
            path.unlink(missing_ok=True)


@contextmanager
def only_one(path):
    """For what must not run twice at a time"""
    with open(path, "w", encoding="ascii") as f:
        try:
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failure(f"another one is running in {path.parent}") from None
        yield


def write_json(path, data, indent=None):
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(json.dumps(data, indent=indent) + "\n")
    os.replace(temporary, path)
