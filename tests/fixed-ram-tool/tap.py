# SPDX-License-Identifier: GPL-2.0-or-later
"""Results of unittest in TAP, as pycotap does it, which Debian 12 lacks."""

import sys
import unittest


def name_of(test):
    """tool/check/cut-off for test_check.CheckTest.test_cut_off"""
    module, *_, method = test.id().split(".")
    return "/".join(word.removeprefix("test_").replace("_", "-")
                    for word in ("tool", module, method))


class TapResult(unittest.TestResult):
    """Prints a line as soon as a test has ended; names() has its name"""

    def __init__(self, names=name_of):
        super().__init__()
        self._name_of = names

    def _line(self, result, test, directive=""):
        if result == "not ok":
            for line in (self.errors + self.failures)[-1][1].splitlines():
                print(f"# {line}")
        print(f"{result} {self.testsRun} {self._name_of(test)}{directive}",
              flush=True)

    def addSuccess(self, test):
        super().addSuccess(test)
        self._line("ok", test)

    def addError(self, test, err):
        super().addError(test, err)
        self.failures.append(self.errors.pop())
        self._line("not ok", test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._line("not ok", test)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._line("ok", test, f" # SKIP {reason}")


def run_main_module(prefix):
    """Run the tests of the program's own file; returns its exit status

    Rounds.test_first_round is called PREFIX/rounds/first-round.
    """
    def names(test):
        _, kind, method = test.id().split(".")
        return "/".join((prefix, kind.lower(),
                         method.removeprefix("test_").replace("_", "-")))

    tests = [test for suite in unittest.defaultTestLoader.loadTestsFromModule(
        sys.modules["__main__"]) for test in suite]
    print(f"1..{len(tests)}", flush=True)
    result = TapResult(names)
    for test in tests:
        test.run(result)
    return 0 if result.wasSuccessful() else 1
