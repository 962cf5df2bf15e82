# SPDX-License-Identifier: GPL-2.0-or-later
"""The results of tests: what is counted, and what is shown meanwhile."""

from collections import Counter
import sys
import threading

from .progress import Progress
from .text import duration

MARKS = {"passed": "ok", "failed": "not ok", "skipped": "skip"}
SHOWN_FAILURES = 20


def counts(results):
    return ", ".join(f"{results[what]} {what}" for what in MARKS)


class Tally:
    """Results so far, of parts that may go on beside each other

    On a terminal one line is rewritten, and what stays is a line a part and
    each test that did not pass.  Elsewhere each test has a line.
    expected: how long the parts take, None if that is not known.
    """

    def __init__(self, expected=None):
        self.results = Counter()
        self.of_parts = {}          # those that go on: their results
        self.failures = []
        self.expected = expected
        self.progress = Progress(width=9)
        self.lock = threading.RLock()

    # ---- parts ----

    def begin(self, part):
        with self.lock:
            self.of_parts[part] = Counter()
            if self.expected:
                self.expected.begin(part)
            self.progress.start("check")
            if self.progress.terminal:
                self.tick()
            else:
                self.progress.above(f"  check    {part}")

    def end(self, part):
        """The part has come to its end"""
        with self.lock:
            results = self.of_parts.pop(part)
            if self.expected:
                self.expected.end(part)
            if self.progress.terminal:
                self.progress.above(f"  check    {part}: {counts(results)}")

    def tick(self, test=None):
        """To be called now and then: shows how far it is"""
        with self.lock:
            text = f"{' and '.join(self.of_parts)}, {counts(self.results)}"
            if self.expected:
                text += (f" in {duration(self.expected.spent())}, "
                         f"{self.expected.text()}")
            self.progress.update(text + (f": {test}" if test else ""))

    # ---- tests ----

    def add(self, part, group, name, result, why="", log=None):
        with self.lock:
            self.results[result] += 1
            self.of_parts[part][result] += 1
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
        if not self.failures and self.results["passed"]:
            print("\nNext: `make run` shows a load on demand, `make bench` "
                  "measures, and `make soak`\nlooks for what these tests do "
                  "not find.  README.md tells how to save and load.")
        if self.expected:
            print(f"\nThat took {duration(self.expected.spent())}.")
        print(counts(self.results))
        sys.stdout.flush()
