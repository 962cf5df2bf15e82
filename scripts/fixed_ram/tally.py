# SPDX-License-Identifier: GPL-2.0-or-later
"""The results of tests: what is counted, and what is shown meanwhile."""

import sys

from .progress import Progress
from .text import duration

MARKS = {"passed": "ok", "failed": "not ok", "skipped": "skip"}
SHOWN_FAILURES = 20


class Tally:
    """Results so far

    On a terminal one line is rewritten, and what stays is a line a part and
    each test that did not pass.  Elsewhere each test has a line.
    expected: how long the parts take, None if that is not known.
    """

    def __init__(self, expected=None):
        self.passed = self.failed = self.skipped = 0
        self.failures = []
        self.expected = expected
        self.progress = Progress(width=9)
        self.part, self.before = None, None

    # ---- parts ----

    def begin(self, part):
        self.part = part
        self.before = (self.passed, self.failed, self.skipped)
        if self.expected:
            self.expected.begin(part)
        self.progress.start("check")
        if self.progress.terminal:
            self.tick()
        else:
            self.progress.above(f"  check    {part}")

    def end(self):
        """The part has come to its end"""
        if self.expected:
            self.expected.end()
        if self.progress.terminal:
            self.progress.done(f"{self.part}: {self.counts(self.before)}")
        self.part = None

    def counts(self, before=(0, 0, 0)):
        numbers = (self.passed, self.failed, self.skipped)
        return ", ".join(f"{now - then} {what}" for now, then, what
                         in zip(numbers, before, MARKS))

    def tick(self, test=None):
        """To be called now and then: shows how far it is"""
        text = f"{self.part}, {self.counts()}"
        if self.expected:
            text += (f" in {duration(self.expected.spent())}, "
                     f"{self.expected.text()}")
        self.progress.update(text + (f": {test}" if test else ""))

    # ---- tests ----

    def add(self, group, name, result, why="", log=None):
        setattr(self, result, getattr(self, result) + 1)
        if result == "failed":
            self.failures.append((group, name, log))
        if result == "passed" and self.progress.terminal:
            self.tick(name)
            return
        # a unit test and its sanitized twin have the same names
        text = name if name.startswith((group, "/")) and \
            not group.endswith("-asan") else f"{group}: {name}"
        self.progress.above(f"  {MARKS[result]:6} {text}"
                            + (f" ({why})" if why else ""))

    # ---- the end ----

    def close(self, again):
        """Says what to do next, and counts; again(group, test): a command"""
        if self.failures:
            print("\nFailed:")
        for group, name, log in self.failures[:SHOWN_FAILURES]:
            print(f"  {name}\n    log:   {log or 'none'}\n"
                  f"    again: {again(group, name)}")
        if len(self.failures) > SHOWN_FAILURES:
            print(f"  and {len(self.failures) - SHOWN_FAILURES} more")
        if not self.failures and self.passed:
            print("\nNext: `make run` shows a load on demand, `make bench` "
                  "measures, and `make soak`\nlooks for what these tests do "
                  "not find.  README.md tells how to save and load.")
        if self.expected:
            print(f"\nThat took {duration(self.expected.spent())}.")
        print(self.counts())
        sys.stdout.flush()
