# SPDX-License-Identifier: GPL-2.0-or-later
"""A small QMP client. Events are stamped with time.monotonic() on arrival."""

import json
import socket
import threading
import time


class Failure(Exception):
    """What ends a run: one line for the user"""


class QMPError(Failure):
    """QEMU refused a command"""


class Lost(Failure):
    """The other end is gone"""


class QMP:
    """A monitor, by its UNIX socket's path or a socket already connected

    A thread reads, so that an event's time is that of its arrival, whatever
    the caller does meanwhile. `events` holds all of them as (time, event).
    """

    def __init__(self, where, timeout=30, oob=False):
        if isinstance(where, socket.socket):
            self._socket = where
        else:
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.connect(where)
        self.events = []
        self._replies = {}
        self._greeting = None
        self._closed = False
        self._id = 0
        self._changed = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()
        self._wait(lambda: self._greeting, timeout, "no QMP greeting")
        self.execute("qmp_capabilities", {"enable": ["oob"]} if oob else None,
                     timeout)

    def _read(self):
        try:
            with self._socket.makefile("rb") as lines:
                for line in lines:
                    self._take(time.monotonic(), json.loads(line))
        except (OSError, ValueError):
            pass        # as good as closed
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _take(self, now, message):
        with self._changed:
            if "event" in message:
                self.events.append((now, message))
            elif "QMP" in message:
                self._greeting = message
            else:
                self._replies[message.get("id")] = message
            self._changed.notify_all()

    def _wait(self, ready, timeout, complaint):
        """Wait until ready() returns something; that is the result"""
        end = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while True:
                result = ready()
                if result:
                    return result
                if self._closed:
                    raise Lost("the QMP connection was closed")
                left = None if end is None else end - time.monotonic()
                if left is not None and left <= 0:
                    raise TimeoutError(f"{complaint} within {timeout:g} s")
                self._changed.wait(left)

    def send(self, command, arguments=None, oob=False):
        """Give a command; returns what reply() wants to know"""
        self._id += 1
        message = {"exec-oob" if oob else "execute": command, "id": self._id}
        if arguments:
            message["arguments"] = arguments
        try:
            self._socket.sendall(json.dumps(message).encode() + b"\n")
        except OSError as e:
            raise Lost(f"{command}: {e.strerror}") from e
        return self._id, command

    def reply(self, sent, timeout):
        """What the command returns; after a TimeoutError it may be asked for
        again
        """
        number, command = sent
        reply = self._wait(lambda: self._replies.pop(number, None), timeout,
                           f"no answer to {command}")
        if "error" in reply:
            raise QMPError(f"{command}: {reply['error']['desc']}")
        return reply["return"]

    def execute(self, command, arguments=None, timeout=600, oob=False):
        """Run a command and return what it returns"""
        return self.reply(self.send(command, arguments, oob), timeout)

    def find_event(self, name, **data):
        """The first (time, event) of that name with one of these data

        A value is compared; a tuple lists the values that will do.
        """
        for now, event in self.events:
            got = event.get("data", {})
            if event["event"] == name and all(
                    got.get(key) in (want if isinstance(want, tuple)
                                     else (want,))
                    for key, want in data.items()):
                return now, event
        return None

    def wait_event(self, name, timeout=None, **data):
        """Like find_event(), but waits for it; TimeoutError if it is late"""
        return self._wait(lambda: self.find_event(name, **data), timeout,
                          f"no {name} event")

    def close(self):
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._socket.close()
