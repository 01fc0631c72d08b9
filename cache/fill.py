"""One copy of a blob from its source to the disk. Belongs to no client: it outlives whoever asked first."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from cache.check import Check
from cache.claims import Claim
from cache.disk import Folder
from cache.errors import GoneRound
from cache.files import Mark, begin_write_back, end_write_back, look, set_mark, set_mark_at, write_all
from cache.flight import Flight
from cache.holding import DiskWait
from cache.resume import resuming
from cache.threads import DiskThreads, ended, in_thread
from cache.traffic import Traffic
from cache.types import MIB, Span
from cache.writer import Writer

_COPY_BYTES = 8 * MIB
_CATCH_UP_BYTES = 256 * MIB  # well within the time after which a disk is said to hang
_WRITE_BACK_BYTES = 8 * MIB
_BEHIND_BYTES = 64 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class FillTools:
    """What every fill of one cache uses. `hashing` is apart from the disk's threads, which a bad disk may all hold."""

    folder: Folder
    opening: DiskThreads
    disk: DiskThreads
    hashing: ThreadPoolExecutor
    idle_s: float
    verify_digest: bool
    drop_behind_min_bytes: int
    traffic: Traffic
    resumed: Callable[[Exception], None]


class Fill:
    """Reads the source, writes, checks, publishes. Its file is `claim`'s, which may hold a part already.

    Watchers in this process have the flight's progress, those of others the file's length and mark.
    """

    def __init__(self, flight: Flight, claim: Claim, tools: FillTools, wait: DiskWait) -> None:
        """`wait` hears of each wait for the disk that the next bytes depend on."""
        self.blob, self.size_bytes = flight.blob, flight.size_bytes
        self.path, self.fd = claim.path, claim.fd
        self.at = claim.size_bytes
        self._flight, self._progress, self._tools, self._wait = flight, flight.progress, tools, wait
        self._check = Check(self.blob.key, self.blob.digest if tools.verify_digest else None)
        self._is_large = self.size_bytes >= tools.drop_behind_min_bytes
        self._sums = b""
        self._written_back = self._on_disk = self.at
        self._beginning: asyncio.Future[None] | None = None

    async def adopt(self, other: int, stop: int) -> None:
        """Copy what another file of this blob holds up to `stop`. Raises DiskFailed, GoneRound."""
        while self.at < stop:
            with self._wait():
                self.at += await self._tools.disk("write", self._adopt, other, min(_COPY_BYTES, stop - self.at))

    async def copy(self) -> None:
        """Bring all bytes to the disk and release them to the readers.

        Raises what went wrong: an error of the source as it came, DiskFailed if the disk refused, WrongSize, Stalled,
        DigestMismatch, GoneRound. The file stays for `publish` or `retire`.
        """
        if self.at:
            await self._open()
        if self.at < self.size_bytes:
            span = Span(self.at, self.size_bytes)
            opened = resuming(
                self._flight.source,
                self.blob.key,
                span,
                is_to_end=True,
                idle_s=self._tools.idle_s,
                resumed=self._tools.resumed,
            )
            async with opened as pieces:
                await self._open()
                await self._write_all(pieces)
        while (checked := self._check.at) < self.size_bytes:
            stop = min(self.size_bytes, checked + _CATCH_UP_BYTES)
            await self._tools.disk("read", self._check.catch_up, self.fd, stop)
        self._sums = await in_thread(self._tools.hashing, self._check.finish)
        await self._mark(Mark.WHOLE)
        if not self._progress.has_ended:
            self._progress.finish()

    async def publish(self) -> None:
        """Make the file an entry. Raises DiskFailed; readers have their bytes all the same."""
        await self._tools.disk("publish", self._publish)

    async def condemn(self) -> None:
        """Tell followers in other processes that they must not send what is here. Before anybody here is told."""
        with self._wait():
            await self._tools.disk("write", set_mark, self.fd, Mark.FAILED)

    async def retire(self) -> None:
        """Take the file out of use. One that cannot be moved now is removed when nobody fills it."""
        await self._tools.disk("remove", self._tools.folder.retire_fill, self.path, self.fd)

    async def keep(self) -> bool:
        """Cancelled, leave what is there to who asks next. Whether the file was still there. Raises DiskFailed."""
        return await self._tools.disk("write", self._keep)

    async def _open(self) -> None:
        await self._mark(Mark.FLOWING)
        self._progress.open()
        self._advance(self.at)

    async def _mark(self, mark: Mark) -> None:
        """Raises GoneRound, DiskFailed."""
        with self._wait():
            await self._tools.disk("write", self._set_mark, mark)

    def _set_mark(self, mark: Mark) -> None:
        set_mark_at(self.fd, self.path, mark)
        self._stop_if_gone_round()

    def _keep(self) -> bool:
        set_mark_at(self.fd, self.path, Mark.KEPT)
        os.utime(self.fd)  # since when
        return look(self.fd).mark is Mark.KEPT

    def _publish(self) -> None:
        self._tools.folder.publish(self.blob.key, self.size_bytes, self.path, self.fd, self._sums)
        if self._is_large:
            os.posix_fadvise(self.fd, 0, 0, os.POSIX_FADV_DONTNEED)

    def _adopt(self, other: int, count: int) -> int:
        self._stop_if_gone_round()
        data = os.pread(other, count, self.at)
        if not data:
            raise OSError("the file that was gone round is shorter than it was")
        write_all(self.fd, memoryview(data), self.at)
        return len(data)

    async def _write_all(self, pieces: AsyncIterator[bytes]) -> None:
        writer = Writer(
            self.fd,
            self.at,
            self._check,
            self._tools.disk,
            self._tools.hashing,
            self._wait,
            is_urgent=lambda: self._flight.purpose == "demand",
            fence=self._stop_if_gone_round,
            written=self._wrote,
            wrote_back=self._drop_behind,
        )
        try:
            async for piece in pieces:
                for portion in self._portions(piece):
                    self._stop_if_gone_round()
                    await writer.put(portion)
                    if self._flight.purpose != "demand":
                        await self._tools.traffic.hold_back(len(portion), self._flight.is_demanded)
            await writer.flush()
        finally:
            try:
                await writer.stop()
            finally:
                if self._beginning is not None:
                    await ended(self._beginning)

    def _portions(self, piece: bytes) -> Iterable[bytes]:
        return (piece,) if self._flight.purpose == "demand" else self._tools.traffic.portions(piece)

    def _advance(self, at: int) -> None:
        self.at = at
        if self._flight.purpose == "demand":
            self._tools.traffic.came()
        if not self._progress.has_ended:  # readers may have been sent away from a disk that hangs
            self._progress.advance(at)
            self._flight.rate.sample(time.monotonic(), self._progress.watermark)

    def _wrote(self, at: int) -> None:
        """Have the disk work while the source does: then there is little left for the fsync at the end.

        In a thread of its own: a disk that is slower than the source holds up only that, while there is memory.
        """
        self._advance(at)
        is_free = self._beginning is None or self._beginning.done()
        if is_free and at - self._written_back >= _WRITE_BACK_BYTES:
            start, self._written_back = self._written_back, at
            self._beginning = self._tools.disk.start("write", self._begin_write_back, start, at)

    def _begin_write_back(self, start: int, stop: int) -> None:
        with contextlib.suppress(OSError):  # the fsync says whether all went well
            begin_write_back(self.fd, start, stop)

    def _drop_behind(self, at: int) -> None:
        if self._is_large and at - self._on_disk >= 2 * _BEHIND_BYTES:
            # One pass over a large image must not push the others out of memory, nor end in minutes of fsync.
            end_write_back(self.fd, self._on_disk, at - _BEHIND_BYTES)
            self._on_disk = at - _BEHIND_BYTES
            os.posix_fadvise(self.fd, 0, self._on_disk, os.POSIX_FADV_DONTNEED)

    def _stop_if_gone_round(self) -> None:
        if look(self.fd).mark is Mark.LEFT:
            raise GoneRound(f"the fill of {self.blob.key} showed no life for too long: another process goes on")
