# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU's own QMP client, for threads. Events carry the time of their arrival."""

import asyncio
import logging
import threading
import time

from qemu.qmp import ExecuteError, QMPClient
from qemu.qmp import QMPError as ClientError

# The client tells of each lost connection, but that is ours to report.
logging.getLogger("qemu.qmp").addHandler(logging.NullHandler())
logging.getLogger("qemu.qmp").propagate = False


class Failure(Exception):
    """What ends a run: one line for the user"""


class QMPError(Failure):
    """QEMU refused a command"""


class Lost(Failure):
    """The other end is gone"""


class Client(QMPClient):
    """Calls note() with each event, and with None at the end"""

    def __init__(self, note):
        super().__init__()
        self._note = note

    async def _on_message(self, msg):
        if "event" in msg:
            self._note((time.monotonic(), dict(msg)))
        else:
            await super()._on_message(msg)

    async def _bh_close_stream(self, error_pathway=False):
        await super()._bh_close_stream(error_pathway)
        self._note(None)


class Loop:
    """asyncio's loop, in a thread of its own that lives as long as we do"""

    def __init__(self):
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def start(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)


class QMP:
    """A monitor, by its UNIX socket's path or a socket already connected

    `events` holds all of them as (time, event), whatever the caller does
    meanwhile. Out-of-band commands work where QEMU has them.
    """

    _loop = None
    _loop_lock = threading.Lock()       # several threads may be the first

    def __init__(self, where, timeout=30):
        with QMP._loop_lock:
            QMP._loop = QMP._loop or Loop()
        self.events = []
        self._closed = False
        self._changed = threading.Condition()
        self._client = Client(self._take)
        connected = self._loop.start(self._client.connect(where))
        try:
            connected.result(timeout)
        except (ClientError, AssertionError) as e:
            # the client asserts that QEMU has not ended right after its greeting
            self.close()
            raise Lost(f"no QMP greeting: {e}") from e
        except TimeoutError:
            connected.cancel()
            raise TimeoutError(f"no QMP greeting within {timeout:g} s") \
                from None

    def _take(self, event):
        with self._changed:
            if event:
                self.events.append(event)
            else:
                self._closed = True
            self._changed.notify_all()

    def send(self, command, arguments=None, oob=False):
        """Give a command; returns what reply() wants to know"""
        return self._loop.start(
            self._client.execute(command, arguments, oob=oob)), command

    def reply(self, sent, timeout):
        """What the command returns; after a TimeoutError it may be asked for
        again
        """
        future, command = sent
        try:
            return future.result(timeout)
        except ExecuteError as e:
            raise QMPError(f"{command}: {e}") from e
        except ClientError as e:
            raise Lost(f"{command}: the QMP connection was closed") from e
        except TimeoutError:
            raise TimeoutError(f"no answer to {command} within {timeout:g} s"
                               ) from None

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
        with self._changed:
            if not self._changed.wait_for(
                    lambda: self.find_event(name, **data) or self._closed,
                    timeout):
                raise TimeoutError(f"no {name} event within {timeout:g} s")
            found = self.find_event(name, **data)
        if not found:
            raise Lost("the QMP connection was closed")
        return found

    def close(self):
        """The connection ends; commands without an answer stay without"""
        try:
            self._loop.start(self._client.disconnect()).result(10)
        except (ClientError, EOFError, OSError):
            pass        # it was closed by the other end
