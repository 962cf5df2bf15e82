# SPDX-License-Identifier: GPL-2.0-or-later
"""How much longer a job with several parts will take."""

import json
import os
import time

from .text import duration, time_left

# Parts that took less in all say nothing about the speed of this machine.
MEANINGFUL_S = 20


class Expected:
    """The parts of a job, in their order, and what each usually takes

    path: the file with the seconds of an earlier run, by part; it need not be
    there.  usual: seconds by part, for what that file does not have.  lanes:
    so many parts are done at a time, and each takes longer for that.
    """

    def __init__(self, path, usual, lanes=1):
        self.path = path
        self.lanes = lanes
        self.seconds = dict(usual)
        self.left_out = list(usual)     # parts that have not begun
        self.began = {}                 # of the parts that go on, when
        self.measured = {}
        self.done, self.done_expected = 0.0, 0.0
        self.start = time.monotonic()
        self.earlier = self.read()
        self.seconds.update((part, s) for part, s in self.earlier.items()
                            if part in self.seconds)

    def read(self):
        try:
            with open(self.path, encoding="ascii") as f:
                return {part: float(s) for part, s in json.load(f).items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}

    def begin(self, part):
        self.began[part] = time.monotonic()
        if part in self.left_out:
            self.left_out.remove(part)

    def end(self, part):
        """The part has come to its end, if it has begun"""
        if part not in self.began:
            return
        took = time.monotonic() - self.began.pop(part)
        if took >= 0.05:        # else it has not even begun
            self.measured[part] = round(took, 1)
        self.done += took
        self.done_expected += self.seconds.get(part, took)

    def spent(self):
        return time.monotonic() - self.start

    def factor(self):
        """How slow this machine is, as the parts that are done tell"""
        if self.done_expected < MEANINGFUL_S:
            return 1.0
        return min(4.0, max(0.25, self.done / self.done_expected))

    def text(self):
        """What a line about something that goes on ends with"""
        factor, now = self.factor(), time.monotonic()
        going = [self.seconds.get(part, 0) * factor - (now - began)
                 for part, began in self.began.items()]
        left = sum(self.seconds[part] for part in self.left_out) * factor
        left = (left + sum(s for s in going if s > 0)) / self.lanes
        if not going or max(going) >= 0:
            return time_left(left)
        return (f"more than {duration(left)} left" if left >= 1
                else "longer than usual")

    def save(self):
        """Keep this run's times for the next one"""
        temporary = f"{self.path}.new"
        with open(temporary, "w", encoding="ascii") as f:
            json.dump({**self.earlier, **self.measured}, f, indent=1)
            f.write("\n")
        os.replace(temporary, self.path)
