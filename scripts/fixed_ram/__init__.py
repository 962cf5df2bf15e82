# SPDX-License-Identifier: GPL-2.0-or-later
"""What run.py, the benchmarks and the soak share: a guest and its monitor.

Two packages come from elsewhere: QEMU's own, from the base in the build
folder, and the driver of failing reads, from the tests.
"""

import argparse
from pathlib import Path
import sys

TOP = Path(__file__).resolve().parent.parent.parent


def build_dir():
    """The program's --build-dir; imports come before its own parser"""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--build-dir", type=Path, default=TOP / "build")
    return parser.parse_known_args()[0].build_dir


sys.path += [str(build_dir() / "source" / "python"),
             str(TOP / "tests" / "unit" / "fixed-ram" / "faults")]
