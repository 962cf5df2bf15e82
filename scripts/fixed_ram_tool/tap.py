# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests that are functions, and their results in TAP."""

import re
import traceback

TESTS = []          # (name, function), in the order of their definition


class Skip(Exception):
    """Why a test cannot be run here"""


class Wrong(Exception):
    """What a test has found"""


def test(name):
    """Makes a function one of the tests"""
    def add(function):
        TESTS.append((name, function))
        return function
    return add


def equal(got, expected, what):
    if got != expected:
        raise Wrong(f"{what}: {got!r}, expected {expected!r}")


def true(condition, what):
    if not condition:
        raise Wrong(what)


def run_all(world, only):
    """Run those whose name matches; True if none failed"""
    chosen = [t for t in TESTS if not only or re.search(only, t[0])]
    print(f"1..{len(chosen)}", flush=True)
    failed = 0
    for number, (name, function) in enumerate(chosen, 1):
        result, why = "ok", ""
        try:
            function(world)
        except Skip as e:
            why = f" # SKIP {e}"
        except Exception:           # pylint: disable=broad-except
            for line in traceback.format_exc().splitlines():
                print(f"# {line}")
            result = "not ok"
            failed += 1
        print(f"{result} {number} tool/{name}{why}", flush=True)
    return not failed
