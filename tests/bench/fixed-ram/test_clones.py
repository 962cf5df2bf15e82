#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests what scripts/clones is made of, without QEMU; speaks TAP."""

import contextlib
import io
from pathlib import Path
import sys
import tempfile
import threading
import unittest

TOP = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(TOP / "scripts"), str(TOP / "tests" / "fixed-ram-tool")]

# pylint: disable=wrong-import-position
from fixed_ram.qmp import Failure, Lost                         # noqa: E402
from fixed_ram_clones import identity, smoke, table             # noqa: E402
from fixed_ram_clones.herd import Herd                          # noqa: E402
from fixed_ram_clones.options import parse_arguments            # noqa: E402
from tap import run_main_module                                 # noqa: E402


def some(number, disks=0):
    return list(identity.identities(number, Path("/clones"), disks))


class Identities(unittest.TestCase):
    def test_all_differ(self):
        own = some(300)
        for what in ("name", "guid", "monitor"):
            self.assertEqual(len({getattr(i, what) for i in own}), 300, what)

    def test_options(self):
        one = some(2, disks=2)[1]
        for option, want in (
                ("file={disk},x", "file=/clones/clone-2-1.qcow2,x"),
                ("{disk2}", "/clones/clone-2-2.qcow2"),
                ("{name}-{number}", "clone-2-2"),
                ("guid={guid},x={}", f"guid={one.guid},x={{}}"),
                ('{"driver": "{other}"}', '{"driver": "{other}"}')):
            self.assertEqual(one.filled_in(option), want)

    def test_only_our_files_go(self):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for file in ("clone-1-1.qcow2", "clone-12.qmp", "disk.qcow2",
                         "report.json"):
                (folder / file).touch()
            identity.remove_files(folder)
            self.assertEqual({path.name for path in folder.iterdir()},
                             {"disk.qcow2", "report.json"})


class Options(unittest.TestCase):
    def refused(self, *words):
        with contextlib.redirect_stderr(io.StringIO()) as said:
            self.assertRaises(SystemExit, parse_arguments, words)
        return said.getvalue()

    def test_refused(self):
        for words in (("--number=0",), ("--mode=lazy",), ("--disk=x",),
                      ("--no-serial",), ("--", "-m", "1G"),
                      ("--snapshot=x", "--fill=5")):
            self.assertIn("clones: error", self.refused(*words)
                          .replace(Path(sys.argv[0]).name, "clones"))

    def test_qemu_options(self):
        args = parse_arguments(["--snapshot=x", "--number=3", "--",
                                "-machine", "q35", "--enable-kvm"])
        self.assertEqual(args.options, ["-machine", "q35", "--enable-kvm"])
        self.assertEqual((args.number, args.mode), (3, ["mapped"]))


class Fake:
    """A clone that answers, ends, or fails as it is told"""

    def __init__(self):
        self.ended = threading.Event()

    def __exit__(self, kind, value, trace):
        self.ended.set()
        if isinstance(value, Lost):
            raise Failure("QEMU ended unexpectedly: out of luck")


class Herds(unittest.TestCase):
    def setUp(self):
        self.fakes = {}

    def start(self, own):
        self.fakes[own.number] = Fake()
        return self.fakes[own.number]

    def test_in_order(self):
        up = [threading.Event() for _ in range(6)]
        up[5].set()

        def backwards(own):
            up[own.number].wait(60)
            fake = self.start(own)
            up[own.number - 1].set()
            return fake

        with Herd(some(5), backwards) as herd:
            herd.start()
            got = herd.each(lambda fake: fake)
            self.assertEqual(got, [self.fakes[n] for n in range(1, 6)])
        self.assertTrue(all(f.ended.is_set() for f in self.fakes.values()))

    def test_one_fails(self):
        def lose(fake):
            if fake is self.fakes[2]:
                raise Lost("closed")
            # the others go on until they are ended
            fake.ended.wait(60)

        with self.assertRaisesRegex(Failure, "clone-2.*out of luck"):
            with Herd(some(2), self.start) as herd:
                herd.start()
                herd.clones.reverse()
                herd.each(lose)
        self.assertTrue(all(f.ended.is_set() for f in self.fakes.values()))

    def test_ended_while_it_starts(self):
        begun, go_on = threading.Event(), threading.Event()

        def slow(own):
            begun.set()
            go_on.wait(60)
            return self.start(own)

        herd = Herd(some(1), slow)
        starter = threading.Thread(target=herd.start, daemon=True)
        starter.start()
        begun.wait(60)
        threading.Timer(0.1, go_on.set).start()
        herd.__exit__(None, None, None)
        starter.join(60)
        self.assertTrue(self.fakes[1].ended.is_set())


def clone(number, **more):
    return {"name": f"clone-{number}", "guid": f"guid-{number}",
            "running_ms": number, "output_ms": 10 * number, "before_mib": 1,
            "pss_mib": 2.5, "private_mib": 2, "read_mib": 0, **more}


class Results(unittest.TestCase):
    def test_all_together(self):
        total = table.total([clone(1), clone(3), clone(2)])
        self.assertEqual((total["running_ms"], total["output_ms"]), (3, 30))
        self.assertEqual((total["pss_mib"], total["read_mib"]), (7.5, 0))

    def test_without_output(self):
        silent = clone(1)
        del silent["output_ms"]
        self.assertNotIn("output_ms", table.total([silent]))
        self.assertIn(" - ", table.row("clone-1", silent).replace("-  ", "- "))

    def wrong(self, clones, guids, wrong=()):
        return list(smoke.wrong_in_mode(
            {"clones": clones, "wrong": wrong, "guids": guids}))

    def test_smoke(self):
        two = [clone(1), clone(2)]
        self.assertEqual(self.wrong(two, ["guid-1", "guid-2"]), [])
        self.assertTrue(self.wrong(two, ["guid-1", "guid-1"]))
        self.assertTrue(self.wrong(two, ["guid-2", "guid-1"]))
        self.assertTrue(self.wrong(two, ["guid-1", "guid-2"], ["bad page"]))
        del two[1]["pss_mib"]
        self.assertTrue(self.wrong(two, ["guid-1", "guid-2"]))


if __name__ == "__main__":
    sys.exit(run_main_module("clones"))
