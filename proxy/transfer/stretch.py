"""A stretch of a file on its way into a plain socket, by `os.sendfile`, a turn at a time.

uvloop has no sendfile of its own, so the kernel is asked on a duplicate of the transport's socket. The transport must
be silent meanwhile: its buffer is drained before the first call.
"""

import contextlib
import errno
import os
import socket
import time
from enum import Enum, auto

from proxy.transfer.errors import ClientGone, FileShort
from proxy.transfer.pages import is_resident

# Pages that were in memory a moment ago are believed to be there still: each question costs a tenth of what it is for.
_ASKED_AHEAD_BYTES = 8 * 1024 * 1024
# The first turn is short, so that the first bytes of many clients who come at once do not wait for each other's bodies.
# What is no longer than this goes out in one.
_FIRST_TURN_BYTES = 256 * 1024


class Turn(Enum):
    """What a turn left."""

    GOING_ON = auto()  # more to send, when the socket takes it
    COLD = auto()  # the next pages are not in memory
    DONE = auto()


class Stretch:
    """Bytes of a file from `at` to `stop`. Owns a duplicate of each descriptor; `close` it in the end.

    A turn never waits, neither for the client nor, as far as can be told, for the disk. Turns are taken in one thread
    at a time; `at` may be read from any.
    """

    def __init__(self, connection: int, file: int, at: int, stop: int, *, turn_max_bytes: int) -> None:
        self.at, self.stop = at, stop
        self.first_sent_s: float | None = None  # by the monotonic clock
        self._turn_bytes, self._turn_max_bytes = _FIRST_TURN_BYTES, turn_max_bytes
        self._resident_until = at
        # Named, as asking the kernel for its kind would take three calls; for options any kind is right.
        kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._connection = socket.socket(*kind, fileno=os.dup(connection))
        self._is_corked = False
        try:
            self.file = os.dup(file)
        except OSError:
            self._connection.close()
            raise

    @property
    def socket(self) -> int:
        return self._connection.fileno()

    @property
    def turn_stop(self) -> int:
        """Where the next turn ends, if the socket takes it all."""
        return min(self.at + self._turn_bytes, self.stop)

    def close(self) -> None:
        self._cork(on=False)
        self._connection.close()
        os.close(self.file)

    def turn(self) -> Turn:
        """Raises ClientGone, FileShort, OSError of the file. The client has some prefix then."""
        count = self.turn_stop - self.at
        try:
            if not self._is_resident(count):
                return Turn.COLD
            sent = os.sendfile(self.socket, self.file, self.at, count)
        except BlockingIOError:
            return Turn.GOING_ON
        except OSError as error:
            if isinstance(error, ConnectionError) or error.errno == errno.ENOTCONN:
                raise ClientGone("the client closed the connection") from error
            raise
        if sent == 0:  # the end of the file, never a full socket: that would be BlockingIOError
            raise FileShort("the file ends before the bytes that were promised from it")
        if self.first_sent_s is None:
            self.first_sent_s = time.monotonic()
        self.at += sent
        self._turn_bytes = min(2 * self._turn_bytes, self._turn_max_bytes)
        if self.at == self.stop:
            return Turn.DONE
        self._cork(on=True)
        return Turn.GOING_ON

    def _is_resident(self, count: int) -> bool:
        if self.at + count <= self._resident_until:
            return True
        for ahead in (max(count, _ASKED_AHEAD_BYTES), count):
            stop = min(self.at + ahead, self.stop)
            if is_resident(self.file, self.at, stop - self.at):
                self._resident_until = stop
                return True
        return False

    def _cork(self, *, on: bool) -> None:
        """Between turns the kernel keeps back what fills no segment: short ones cost both sides a quarter more time."""
        if on != self._is_corked:
            self._is_corked = on
            with contextlib.suppress(OSError):  # of a client that has gone; the next turn tells
                self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, on)
