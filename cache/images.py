"""The face of the disk cache: ask for a blob, get a reader. What becomes of a request: cache/boarding.py."""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import structlog

from cache.boarding import Boarding
from cache.disk import READ_BYTES, Folder, Found
from cache.errors import Abandoned, CacheError, DigestMismatch, DiskFailed
from cache.fill import FillTools
from cache.flight import Flight, Part
from cache.flights import Flights
from cache.housekeeping import Housekeeping, Verdict
from cache.ledger import Ledger
from cache.range_log import RangeLog, RangeTable, SharedHistory
from cache.reader import Reader
from cache.rows import Entry, Usage
from cache.threads import DiskThreads, in_thread, nothing_else
from cache.traffic import Traffic
from cache.types import Blob, CacheConfig, Outcome, Purpose, Source, Span
from cache.watch import DiskWatch
from metrics import Instruments

log = structlog.get_logger(__name__)

_DISK_THREADS = 16
_OPENERS = 8  # apart, since an fsync takes seconds, in which clients must find out what there is
_LOCAL_OPENERS = 4  # apart, since a local store may be well while the cache's disk hangs
_HASHING_THREADS = 4
_CHECKERS = 2  # apart, since reading back a large entry takes minutes, in which clients must find a free thread


@dataclass(frozen=True, slots=True, kw_only=True)
class Filling:
    """A fill that runs now, in this process or another one."""

    key: str
    size_bytes: int
    written_bytes: int


class ImageCache:
    """Whole images on disk. Use as an async context: its flights and its threads live exactly as long.

    Any number of processes may have one on the same folder.
    """

    def __init__(self, config: CacheConfig, instruments: Instruments, ranges: RangeTable | None = None) -> None:
        """`ranges` is what the workers of one service share; without it this one counts for itself."""
        self._config, self._instruments = config, instruments
        self._folder = Folder(config.dir)
        self._watch = DiskWatch(instruments)
        self._threads = ThreadPoolExecutor(_DISK_THREADS, thread_name_prefix="cache")
        self._hashing = ThreadPoolExecutor(_HASHING_THREADS, thread_name_prefix="cache-hash")
        self._checkers = ThreadPoolExecutor(_CHECKERS, thread_name_prefix="cache-check")
        self._openers = ThreadPoolExecutor(_OPENERS, thread_name_prefix="cache-open")
        self._local_openers = ThreadPoolExecutor(_LOCAL_OPENERS, thread_name_prefix="local-open")
        self._opening = DiskThreads(self._openers, self._watch)
        self._traffic = Traffic(config.background_rate_beside_demand)
        self._ledger = Ledger(self._folder, config, self._watch, instruments)
        tools = FillTools(
            folder=self._folder,
            opening=self._opening,
            disk=DiskThreads(self._threads, self._watch),
            hashing=self._hashing,
            idle_s=config.fill_idle_s,
            verify_digest=config.verify_digest,
            drop_behind_min_bytes=config.drop_behind_min,
            traffic=self._traffic,
            resumed=self._count_resume,
        )
        self._flights = Flights(config, self._ledger, tools, instruments)
        self._housekeeping = Housekeeping(
            config, self._folder, self._ledger, self._flights, self._watch, self._checkers, self._traffic, instruments
        )
        self._ranges = RangeLog(ranges)
        history = SharedHistory(self._ranges, time.monotonic)
        self._boarding = Boarding(config, self._flights, self._ledger, self._watch, history, instruments)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Raises UnknownFormat, and DiskFailed if the folder cannot be used as it is configured.

        If the disk refuses, it is gone round and tried again.
        """
        async with AsyncExitStack() as stack:
            for threads in (self._openers, self._local_openers, self._threads, self._hashing, self._checkers):
                stack.callback(threads.shutdown, wait=False)  # nothing runs in them any more
            stack.callback(self._ranges.close)
            stack.push_async_callback(self._ledger.close)
            await self._housekeeping.open()
            await stack.enter_async_context(self._flights)
            await stack.enter_async_context(self._housekeeping)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    def threads(self, pool: Executor) -> DiskThreads:
        """For calls to the cache's disk in a pool of somebody else's."""
        return DiskThreads(pool, self._watch)

    def stuck_s(self) -> float:
        """For how many seconds the disk has kept a thread, that one which it has kept the longest."""
        return self._watch.longest_s()

    def check_open(self, operation: str) -> None:
        """Raises DiskFailed if the folder is not open. `operation` is what that keeps from being done."""
        self._ledger.check_open(operation)

    def when_lost(self, refetch: Callable[[str], None]) -> None:
        """Have `refetch` called with the key of whatever should be there and is not: damaged, or left half filled."""
        self._housekeeping.refetch = refetch

    def client(self) -> AbstractContextManager[None]:
        """A client's request for an image, from before anything is looked up for him. What is for nobody holds back."""
        return self._traffic.client()

    def unhurried(self, pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
        """The same bytes, as slowly as a prewarm has its own: for who moves images for no client."""
        return self._traffic.unhurried(pieces)

    @asynccontextmanager
    async def open(
        self, blob: Blob, source: Source, *, start: int = 0, stop: int | None = None, may_fill: bool = True
    ) -> AsyncIterator[Reader]:
        """A reader for the bytes of `blob` from `start` up to `stop`, or to its end.

        Returns when the source has agreed, so that its refusals (raised here as they are) can still become a status.
        `source` is opened only on a miss or a bypass, once for all who ask for this key at the same time. Unless
        `may_fill`, the request leaves no trace: it uses what is there or on its way, which is no use in the sense of
        the eviction policy, and else goes past the cache.
        """
        size_bytes = blob.size_bytes or 0
        span = Span(start, size_bytes if stop is None else stop)
        flight, outcome = await self._boarding.boarded(blob, source, span, may_fill=may_fill)
        if flight is not None:
            try:
                yield self._reader(blob, outcome, source, stop=stop, flight=flight)
            finally:
                self._flights.leave(flight)
            return
        with self._boarding.past_the_cache(is_part=span.length < size_bytes):
            yield self._reader(blob, outcome, source, stop=stop)

    @asynccontextmanager
    async def open_local(self, path: Path, blob: Blob, source: Source | None = None) -> AsyncIterator[Reader]:
        """A reader for a file of a local store, served in place. Raises OSError if it cannot be opened."""
        fds: list[int] = []
        try:
            # Kept by the thread, so that a cancelled caller still knows what there is to close.
            await in_thread(self._local_openers, lambda: fds.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC)))
            yield self._reader(blob, Outcome.LOCAL, source, local_fd=fds[0])
        finally:
            for fd in fds:
                os.close(fd)

    async def store(self, blob: Blob, source: Source, purpose: Purpose = "prewarm") -> None:
        """Return when the entry is on disk and its digest holds, filling it if need be; shares a running fill.

        A fill that this begins is for `purpose` until a client joins it.

        An entry that is there is read back and compared; a damaged one goes to quarantine and is fetched anew.
        Raises the source's errors, CacheFull, DiskFailed, DigestMismatch, WrongSize, Stalled.
        """
        self.check_open("open")
        known = self._flights.get(blob.key)
        if (known is None or known.is_stored) and await self._holds(blob):
            return
        flight = self._flights.get(blob.key)
        if flight is None:
            flight = self._flights.start(blob, source, may_fill=True, purpose=purpose)
        flight.may_fill = flight.is_wanted_on_disk = True
        flight.join()
        try:
            await flight.ended.wait()
        finally:
            self._flights.leave(flight)
        if not flight.is_stored:
            raise flight.failure or Abandoned(f"{blob.key} is no entry any more, or Glint stops")
        if not self._config.verify_digest and not await self._holds(blob):
            raise CacheError(f"the bytes that came for {blob.key} do not have its digest")

    async def evict(self, key: str) -> int | None:
        """Remove an entry and return its size, None if there is none.

        Whoever reads it finishes; a running fill is not touched. Raises DiskFailed if its file cannot be removed.
        """
        return await self._ledger.evict(key)

    async def prune(self) -> tuple[int, int]:
        """Evict now what would be evicted ahead of need. How many entries went, and their bytes."""
        return await self._ledger.prune()

    async def clean(self) -> None:
        """Remove the entries that were found damaged. Dead fills are removed without being asked."""
        await self._ledger.clean()

    async def pin(self, key: str, *, pinned: bool) -> bool:
        """Keep an entry from being evicted for space, or no longer. Whether there is such an entry."""
        return await self._ledger.pin(key, pinned=pinned)

    async def verify(self, key: str) -> Verdict:
        """Read an entry back from the disk and compare it with its sums. A damaged one is quarantined and refetched.

        Raises DiskFailed.
        """
        self.check_open("read")
        return await self._housekeeping.verify(key)

    async def entries(self) -> list[Entry]:
        """All entries, the most recently used first."""
        return await self._ledger.entries()

    async def entry(self, key: str) -> Entry | None:
        return await self._ledger.entry(key)

    async def usage(self) -> Usage:
        return await self._ledger.usage()

    async def has(self, key: str) -> bool:
        return await self._opening.answer("open", nothing_else, self._folder.has_entry, key)

    async def found(self, key: str) -> Found | None:
        """The entry's file, which is there a moment before `entry` knows of it."""
        return await self._opening.answer("open", nothing_else, self._folder.entry_stat, key)

    async def filling(self, key: str, size_bytes: int | None = None) -> Filling | None:
        """A fill of this key, whichever process runs it. `size_bytes` is the image's, for one of another process."""
        flight = self._flights.get(key)
        if flight is not None and flight.part in {Part.FILLING, Part.FOLLOWING} and not flight.progress.has_ended:
            return Filling(key=key, size_bytes=flight.size_bytes, written_bytes=flight.progress.written_bytes)
        written_bytes = await self._opening.answer("open", nothing_else, self._folder.fill_bytes, key)
        if written_bytes is None:
            return None
        return Filling(key=key, size_bytes=size_bytes or written_bytes, written_bytes=written_bytes)

    def _reader(
        self,
        blob: Blob,
        outcome: Outcome,
        source: Source | None,
        *,
        stop: int | None = None,
        flight: Flight | None = None,
        local_fd: int | None = None,
    ) -> Reader:
        return Reader(
            blob=blob,
            outcome=outcome,
            hashing=self._hashing,
            idle_s=self._config.fill_idle_s,
            source=source,
            flight=flight,
            local_fd=local_fd,
            stop=stop,
            drop_behind_min_bytes=self._config.drop_behind_min,
            resumed=self._count_resume,
            spoilt=self._housekeeping.suspect,
        )

    def _count_resume(self, error: Exception) -> None:
        self._instruments.fill_resumes.labels(type(error).__name__).inc()

    async def _holds(self, blob: Blob) -> bool:
        """Whether the entry on disk has the blob's digest, by reading it back. Cancelled, it stops within a moment."""
        if blob.digest is None:
            return await self.has(blob.key)
        task = asyncio.current_task()
        assert task is not None
        try:
            got = await in_thread(
                self._checkers,
                self._folder.digest_entry,
                blob.key,
                blob.digest.algorithm,
                lambda: self._may_read_on(task),
            )
        except FileNotFoundError:
            return False
        except OSError as error:
            raise DiskFailed("read", error) from error
        if got == blob.digest.value:
            return True
        mismatch = DigestMismatch(blob.key, blob.digest.algorithm, blob.digest.value, got)
        log.error("entry.damaged", key=blob.key, reason=str(mismatch))
        await self._ledger.quarantine(blob.key)
        return False

    def _may_read_on(self, task: asyncio.Task[Any]) -> bool:
        """Whether one more piece is to be read back, for `task`; beside clients not at once. Blocks."""
        return self._traffic.wait(READ_BYTES, lambda: not task.cancelling())
