# SPDX-License-Identifier: GPL-2.0-or-later
"""What is shown while something runs."""

import shutil
import sys
import time

# Seconds between two lines about the same step, where they are not rewritten.
LOG_S = 30


class Progress:
    """One line a step: rewritten on a terminal, a plain line now and then elsewhere

    width: of the titles.  expected: set it to an Expected whose parts have the
    titles of the steps, and each line says how long is left of all of them.
    """

    expected = None

    def __init__(self, every=LOG_S, width=15):
        self.terminal = sys.stdout.isatty()
        self.every = 0.1 if self.terminal else every    # seconds
        self.width = width
        self.title = None
        self.printed = 0.0

    def start(self, title):
        self.title = title
        self.printed = time.monotonic()
        if self.expected:
            self.expected.begin(title)
        if self.terminal:
            self.write("...")

    def update(self, text):
        now = time.monotonic()
        if now - self.printed >= self.every:
            self.printed = now
            if self.expected:
                text += f", {self.expected.text()}"
            self.write(text)

    def done(self, text):
        self.write(text, last=True)
        if self.expected:
            self.expected.end(self.title)
        self.title = None

    def above(self, line):
        """A line that stays, above the one that is rewritten"""
        if self.terminal:
            line = f"\r\033[K{line}"
        print(line, flush=True)

    def abandon(self):
        if self.title and self.terminal:
            print(flush=True)
        self.title = None

    def forget(self):
        """The step was not worth a line"""
        if self.terminal:
            print("\r\033[K", end="", flush=True)
        self.title = None

    def write(self, text, last=False):
        line = f"  {self.title:<{self.width}}{text}"
        if self.terminal:
            if not last:
                line = line[:shutil.get_terminal_size().columns - 1]
            print(f"\r\033[K{line}", end="\n" if last else "")
            sys.stdout.flush()
        else:
            print(line, flush=True)
