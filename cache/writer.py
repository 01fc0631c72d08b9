"""Pieces to a file and to its check, side by side in two threads, while the next ones are already received."""

import asyncio
import errno
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from cache.check import Check
from cache.errors import DiskFailed
from cache.files import write_all
from cache.holding import DiskWait
from cache.threads import DiskThreads, start_in_thread
from cache.types import MIB

_AT_ONCE_BYTES = 4 * MIB
_PATIENT_BYTES = MIB  # of what no client waits for: when one comes, this much goes on before him
_PIECES_MAX = 512  # in one call; the kernel takes 1024


class Writer:
    """Takes pieces in order. What waits while a call runs goes into the next call together.

    So a slow source has each piece on disk at once, and a fast one pays few calls. No more than 4 MiB wait, or are in
    one call; of what `is_urgent` says no client waits for, 1 MiB.
    """

    def __init__(
        self,
        fd: int,
        at: int,
        check: Check,
        disk: DiskThreads,
        hashing: ThreadPoolExecutor,
        wait: DiskWait,
        *,
        is_urgent: Callable[[], bool],
        fence: Callable[[], None],
        written: Callable[[int], None],
        wrote_back: Callable[[int], None],
    ) -> None:
        """`written` is told how far the file goes, in the loop; `wrote_back` the same, in the thread that wrote.

        `fence` is asked there before each call, and raises if the file is no longer ours to write: this process may
        have been stopped since the piece came.
        """
        self._fd, self._check, self._disk, self._hashing, self._wait = fd, check, disk, hashing, wait
        self._is_urgent, self._fence, self._written, self._wrote_back = is_urgent, fence, written, wrote_back
        self._at = at
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._calls: set[asyncio.Future[None]] = set()
        self._error: Exception | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._room = asyncio.Event()

    async def put(self, piece: bytes) -> None:
        """Returns when there is room for another. Raises DiskFailed, also for an earlier piece."""
        self._waiting.append(piece)
        self._waiting_bytes += len(piece)
        self._go_on()
        while self._waiting_bytes > self._room_bytes and self._error is None:
            self._room.clear()
            await self._room.wait()
        if self._error is not None:
            raise self._error

    async def flush(self) -> None:
        """Return when everything is in the file. Raises DiskFailed."""
        await self._idle.wait()
        if self._error is not None:
            raise self._error

    async def stop(self) -> None:
        """Drop what waits, and return when no thread uses the file any more, however often the caller is cancelled."""
        self._waiting.clear()
        self._waiting_bytes = 0
        cancelled: asyncio.CancelledError | None = None
        while not self._idle.is_set():
            try:
                await self._idle.wait()
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled

    @property
    def _room_bytes(self) -> int:
        return _AT_ONCE_BYTES if self._is_urgent() else _PATIENT_BYTES

    def _go_on(self) -> None:
        """Start the next call, unless one runs, or there is nothing to write."""
        if self._calls or not self._waiting or self._error is not None:
            return
        count = fitting(self._waiting[:_PIECES_MAX], self._room_bytes)
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        self._waiting_bytes = sum(map(len, self._waiting))
        self._room.set()
        self._idle.clear()
        stop = self._at + sum(map(len, batch))
        writing = self._disk.start("write", self._write, batch, self._at, stop)
        self._wait.begin()
        writing.add_done_callback(lambda _: self._wait.end())
        self._calls = {writing, self._checking(batch)}
        for call in tuple(self._calls):
            call.add_done_callback(lambda call: self._ended(call, stop))

    def _checking(self, batch: Sequence[bytes]) -> asyncio.Future[None]:
        """What the check has to read back first may hang with the disk, and downloads past the cache need hashing."""
        if self._check.at < self._at:
            return self._disk.start("read", self._check.take, batch, self._at, self._fd)
        return start_in_thread(self._hashing, self._check.take, batch, self._at, self._fd)

    def _ended(self, call: asyncio.Future[None], stop: int) -> None:
        self._calls.discard(call)
        error = call.exception()
        if isinstance(error, OSError):
            error = DiskFailed("write", error)
        if isinstance(error, Exception):
            self._error = error
        if self._calls:
            return
        if self._error is None:
            self._at = stop
            self._written(stop)
            self._go_on()
        if not self._calls:
            self._idle.set()
            self._room.set()

    def _write(self, batch: Sequence[bytes], at: int, stop: int) -> None:
        self._fence()
        if os.fstat(self._fd).st_size < at:
            # Whoever cut it left a hole where the next bytes go, and what readers have was never in the file.
            raise OSError(errno.EIO, "the file is shorter than what was written to it")
        written = at + os.pwritev(self._fd, batch, at)
        for piece in batch if written < stop else ():
            if written < at + len(piece):
                write_all(self._fd, memoryview(piece)[max(0, written - at) :], max(at, written))
            at += len(piece)
        self._wrote_back(stop)


def fitting(pieces: Sequence[bytes], room_bytes: int) -> int:
    """How many of them, from the first one on, go into so much room; one does in any case."""
    for count, piece in enumerate(pieces):
        room_bytes -= len(piece)
        if room_bytes < 0:
            return max(1, count)
    return len(pieces)
