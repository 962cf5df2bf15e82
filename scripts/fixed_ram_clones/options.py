# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line of scripts/clones."""

import argparse
from pathlib import Path

from .herd import MODES

DESCRIPTION = """
Start many clones of one snapshot together, measure them, and end them.

Without --snapshot a small Linux guest is booted and saved first. For a
snapshot of yours give the options of its VM after --, without -serial. In
these options {name}, {number}, {guid} and {disk} stand for what each clone has
of its own; {disk} is an overlay of the file of --disk ({disk2} of the second
one):

  clones --snapshot vm.snap --disk vm.qcow2 -- -machine pc -m 1G \\
      -drive file={disk},if=virtio -device vmgenid,guid={guid}

A guest of yours that prints nothing within 5 s has no first output.

Writes report.json and a picture to BUILD/clones, and prints a table.
"""


def list_of_modes(text):
    modes = text.split(",")
    if not set(modes) <= set(MODES):
        raise argparse.ArgumentTypeError(f"a list of {', '.join(MODES)}")
    return modes


def positive(text):
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError("a positive number")
    return int(text)


def make_parser():
    parser = argparse.ArgumentParser(
        description=DESCRIPTION, usage="%(prog)s [options] [-- QEMU's options]",
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build-dir", type=Path, default=Path("build"),
                        metavar="DIR", help="the build directory")
    parser.add_argument("--output", type=Path, metavar="DIR",
                        help="default: BUILD/clones")
    parser.add_argument("--number", type=positive, default=8, metavar="N",
                        help="how many clones (default: 8)")
    parser.add_argument("--mode", type=list_of_modes, default=["mapped"],
                        metavar="MODE,...", help=f"of {', '.join(MODES)}, "
                        "one after the other (default: mapped)")
    parser.add_argument("--snapshot", type=Path, metavar="FILE",
                        help="the clones' (default: one is made)")
    parser.add_argument("--disk", type=Path, action="append", default=[],
                        metavar="FILE", help="the VM's disk as it was at the "
                        "save; may be repeated")
    parser.add_argument("--memory", type=positive, metavar="MIB",
                        help="the guest's RAM (default: 512; with "
                        "--snapshot: as QEMU's options say)")
    parser.add_argument("--fill", type=positive, metavar="MIB",
                        help="how much of it to fill (default: half)")
    parser.add_argument("--no-serial", dest="serial", action="store_false",
                        help="the VM of --snapshot has no serial port: wait "
                        "for no output")
    parser.add_argument("--hold", action="store_true",
                        help="let the clones run until Ctrl-C; each has a "
                        "monitor socket, OUTPUT/NAME.qmp")
    parser.add_argument("--smoke", action="store_true",
                        help="2 small clones in every mode; speaks TAP")
    parser.add_argument("--kernel", type=Path, metavar="VMLINUZ",
                        help="the guest's (default: scripts/base kernel)")
    parser.add_argument("--accel", choices=("auto", "kvm", "tcg"),
                        default="auto", help="default: KVM if a guest boots "
                        "under it, else TCG")
    parser.add_argument("options", nargs="*", help=argparse.SUPPRESS)
    return parser


def parse_arguments(words=None):
    parser = make_parser()
    args = parser.parse_args(words)
    if args.snapshot and (args.fill or args.smoke):
        parser.error("--fill and --smoke are for a guest that is made here")
    if not args.snapshot and (args.options or args.disk or not args.serial):
        parser.error("--disk, --no-serial and QEMU's options belong to "
                     "--snapshot")
    if args.smoke:
        args.number, args.memory, args.fill = 2, 256, 64
        args.mode, args.accel = list(MODES), "tcg"
    args.build_dir = args.build_dir.resolve()
    args.output = (args.output or args.build_dir / "clones").resolve()
    return args
