# SPDX-License-Identifier: GPL-2.0-or-later
"""What is shown while something runs."""

import shutil
import sys
import time


class Progress:
    """One line a step: rewritten on a terminal, a few plain lines elsewhere"""

    def __init__(self, every=3):
        self.terminal = sys.stdout.isatty()
        self.every = 0.1 if self.terminal else every    # seconds
        self.title = None
        self.printed = 0.0

    def start(self, title):
        self.title = title
        self.printed = time.monotonic()
        if self.terminal:
            self.write("...")

    def update(self, text):
        now = time.monotonic()
        if now - self.printed >= self.every:
            self.printed = now
            self.write(text)

    def done(self, text):
        self.write(text, last=True)
        self.title = None

    def abandon(self):
        if self.title and self.terminal:
            print(flush=True)
        self.title = None

    def write(self, text, last=False):
        line = f"  {self.title:<15}{text}"
        if self.terminal:
            width = shutil.get_terminal_size().columns - 1
            print(f"\r\033[K{line[:width]}", end="\n" if last else "")
            sys.stdout.flush()
        else:
            print(line, flush=True)
