#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests qemu-snapshot with files that QEMU has just saved; speaks TAP.

QTEST_QEMU_STOCK in the environment names a QEMU without fixed-ram, which then
loads converted files, too.  PYTHONPATH leads to QEMU's python/.
"""

import argparse
from pathlib import Path
import re
import signal
import sys
import tempfile
import unittest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "unit" / "fixed-ram" / "faults"))

# pylint: disable=wrong-import-position
from tap import TapResult, name_of      # noqa: E402
from tooltest import ToolTest           # noqa: E402


def tests_in(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from tests_in(item)
        else:
            yield item


def interrupt(_number, _frame):
    # unittest takes other exceptions for failures of a test
    raise KeyboardInterrupt


def run(tests):
    print(f"1..{len(tests)}", flush=True)
    result = TapResult()
    for test in tests:
        test.run(result)
    return result.wasSuccessful()


def main(args):
    signal.signal(signal.SIGTERM, interrupt)
    tests = [t for t in tests_in(unittest.TestLoader().discover(str(HERE)))
             if not args.filter or re.search(args.filter, name_of(t))]
    build = args.build_dir.resolve()
    with tempfile.TemporaryDirectory(prefix="fixed-ram-tool-",
                                     dir=build) as folder:
        ToolTest.build, ToolTest.folder = build, Path(folder)
        return 0 if run(tests) else 1


parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--build-dir", type=Path, default=Path(),
                    help="QEMU's build folder (default: the current one)")
parser.add_argument("--filter", help="only tests whose name matches this")
sys.exit(main(parser.parse_args()))
