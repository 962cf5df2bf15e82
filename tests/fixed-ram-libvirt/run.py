#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests a real libvirt with this QEMU; speaks TAP.

libvirt comes from `scripts/base libvirt`.  Where it cannot be had or started,
the tests are skipped with the reason.
"""

import argparse
from pathlib import Path
import re
import shutil
import signal
import sys
import unittest

TOP = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(TOP / "scripts"), str(TOP / "tests" / "fixed-ram-tool")]

# pylint: disable=wrong-import-position
from fixed_ram.session import interrupt                         # noqa: E402
from fixed_ram_libvirt.setup import Unavailable, started        # noqa: E402
from libvirttest import LibvirtTest                             # noqa: E402
from tap import TapResult                                       # noqa: E402


def tests_in(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from tests_in(item)
        else:
            yield item


def name_of(test):
    """libvirt/load/save for test_load.LoadTest.test_save"""
    module, *_, method = test.id().split(".")
    return "/".join(word.removeprefix("test_").replace("_", "-")
                    for word in ("libvirt", module, method))


def run(tests):
    print(f"1..{len(tests)}", flush=True)
    result = TapResult(name_of)
    for test in tests:
        test.run(result)
    return 0 if result.wasSuccessful() else 1


def main(args):
    signal.signal(signal.SIGTERM, interrupt)
    tests = [t for t in tests_in(unittest.TestLoader().discover(
        str(Path(__file__).parent))) if not args.filter
        or re.search(args.filter, name_of(t))]
    folder = args.output.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    LibvirtTest.build = args.build_dir.resolve()
    LibvirtTest.generations = args.generations
    try:
        with started(LibvirtTest.build, folder, args.newest) as libvirt:
            LibvirtTest.libvirt = libvirt
            return run(tests)
    except Unavailable as e:
        print(f"1..1\nok 1 libvirt # SKIP {e}")
        return 0


parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--build-dir", type=Path, default=TOP / "build",
                    help="QEMU's build folder")
parser.add_argument("--output", type=Path,
                    default=TOP / "build" / "check" / "libvirt",
                    help="a folder for images and logs, emptied first")
parser.add_argument("--filter", help="only tests whose name matches this")
parser.add_argument("--generations", type=int, default=3,
                    help="how often a guest is saved and restored (3)")
parser.add_argument("--newest", action="store_true",
                    help="not Debian 13's libvirt but the newest one")
if __name__ == "__main__":
    sys.exit(main(parser.parse_args()))
