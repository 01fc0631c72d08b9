"""The face of the disk cache: ask for a blob, get a reader. What becomes of a request is decided in `_look_up`."""

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from cache.disk import Folder
from cache.errors import Abandoned, CacheError, CacheFull, DigestMismatch, DiskFailed
from cache.fill import Fill, FillTools
from cache.flights import Flights
from cache.index import Entry, Usage
from cache.ledger import Ledger
from cache.reader import Reader
from cache.threads import in_thread
from cache.types import Blob, CacheConfig, Outcome, Source
from metrics import Instruments

log = structlog.get_logger(__name__)

_HOUSEKEEPING_S = 5.0  # at most so much of the order of use is lost by a kill
_WORKERS = 16
_CHECKERS = 2  # apart, since reading back a large entry takes minutes, in which clients must find a free worker


@dataclass(frozen=True, slots=True, kw_only=True)
class Filling:
    """A fill that runs now."""

    key: str
    size_bytes: int
    written_bytes: int


class ImageCache:
    """Whole images on disk. Use as an async context: its fills and its threads live exactly as long."""

    def __init__(self, config: CacheConfig, instruments: Instruments) -> None:
        self._config = config
        self._folder = Folder(config.dir)
        self._workers = ThreadPoolExecutor(_WORKERS, thread_name_prefix="cache")
        self._checkers = ThreadPoolExecutor(_CHECKERS, thread_name_prefix="cache-check")
        self._ledger = Ledger(self._folder, config.size_max, instruments)
        tools = FillTools(
            folder=self._folder,
            workers=self._workers,
            idle_s=config.fill_idle_s,
            verify_digest=config.verify_digest,
        )
        self._flights = Flights(config, self._ledger, tools, instruments)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Raises UnknownFormat, and OSError if the folder cannot be used."""
        async with AsyncExitStack() as stack:
            for threads in (self._workers, self._checkers):
                stack.callback(threads.shutdown, wait=False)  # nothing runs in them any more
            await self._ledger.open()
            stack.push_async_callback(self._ledger.close)
            await stack.enter_async_context(self._flights)
            housekeeping = await stack.enter_async_context(asyncio.TaskGroup())
            stack.callback(housekeeping.create_task(self._housekeep()).cancel)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    @asynccontextmanager
    async def open(self, blob: Blob, source: Source, *, start: int = 0) -> AsyncIterator[Reader]:
        """A reader for `blob`, whose first byte of interest is `start`.

        Returns when the source has agreed, so that its refusals (raised here as they are) can still become a status.
        `source` is opened only on a miss or a bypass, once for all who ask for this key at the same time.
        """
        found = self._look_up(blob, source, start)
        if not isinstance(found, Reader):
            fill, outcome = found
            with self._ledger.lending(blob.key):
                try:
                    yield await self._opened(fill, outcome, source)
                finally:
                    self._flights.leave(fill)
        elif found.fd is not None:
            with self._ledger.lending(blob.key):
                try:
                    yield found
                finally:
                    os.close(found.fd)
        else:
            yield found

    @asynccontextmanager
    async def open_local(self, path: Path, blob: Blob) -> AsyncIterator[Reader]:
        """A reader for a file of a local store, served in place. Raises OSError if it cannot be opened."""
        fds: list[int] = []
        try:
            # Kept by the thread, so that a cancelled caller still knows what there is to close.
            await in_thread(self._workers, lambda: fds.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC)))
            yield self._reader(blob, Outcome.LOCAL, fd=fds[0])
        finally:
            for fd in fds:
                os.close(fd)

    async def store(self, blob: Blob, source: Source) -> None:
        """Return when the entry is on disk and its digest holds, filling it if need be; shares a running fill.

        An entry that is there is read back and compared; a damaged one goes to quarantine and is fetched anew.
        Raises the source's errors, CacheFull, DiskFailed, DigestMismatch, WrongSize, Stalled.
        """
        if self._flights.get(blob.key) is None and await self._holds(blob):
            return
        fill = self._flights.get(blob.key) or self._flights.start(blob, source)
        fill.join()
        try:
            await fill.ended.wait()
        finally:
            self._flights.leave(fill)
        if not fill.is_stored:
            raise fill.progress.error or Abandoned(f"{blob.key} could not be made an entry: see the log for the cause")
        if not self._config.verify_digest and not await self._holds(blob):
            raise CacheError(f"the bytes that came for {blob.key} do not have its digest")

    async def evict(self, key: str) -> int | None:
        """Remove an entry and return its size, None if there is none.

        Whoever reads it finishes; a running fill is not touched. Raises DiskFailed if its file cannot be removed.
        """
        return await self._ledger.evict(key)

    async def entries(self) -> list[Entry]:
        """All entries, the most recently used first."""
        return await self._ledger.entries()

    async def usage(self) -> Usage:
        return await self._ledger.usage()

    async def has(self, key: str) -> bool:
        return await in_thread(self._workers, self._folder.has_entry, key)

    def filling(self, key: str) -> Filling | None:
        fill = self._flights.get(key)
        if fill is None:
            return None
        return Filling(key=key, size_bytes=fill.size_bytes, written_bytes=fill.progress.written_bytes)

    def _look_up(self, blob: Blob, source: Source, start: int) -> Reader | tuple[Fill, Outcome]:
        """Hit, join, miss or bypass: decided and, for a miss, started in one step that nobody can see half done.

        A range that begins far ahead of what is there reads the source by itself: waiting would take longer.
        """
        bypass = self._reader(blob, Outcome.BYPASS, source=source)
        if not blob.size_bytes:
            return bypass
        fill = self._flights.get(blob.key)
        if fill is None and (fd := self._open_entry(blob)) is not None:
            self._ledger.touch(blob.key)
            return self._reader(blob, Outcome.HIT, fd=fd)
        written_bytes = fill.progress.written_bytes if fill else 0
        if start - written_bytes > self._config.range_wait_max:
            return bypass
        outcome = Outcome.JOIN if fill else Outcome.MISS
        fill = fill or self._flights.start(blob, source)
        fill.join()
        return fill, outcome

    async def _opened(self, fill: Fill, outcome: Outcome, source: Source) -> Reader:
        """A reader of the fill once its source has agreed; one past the cache if that has no room, no disk, no turn."""
        try:
            async with asyncio.timeout(self._config.fill_idle_s):
                await fill.started.wait()
            await fill.progress.opened()
        except (CacheFull, DiskFailed, TimeoutError) as error:
            log.info("cache.bypassed", key=fill.blob.key, reason=type(error).__name__)
            return self._reader(fill.blob, Outcome.BYPASS, source=source)
        assert fill.fd is not None
        return self._reader(fill.blob, outcome, fd=fill.fd, fill=fill, source=source)

    def _reader(
        self,
        blob: Blob,
        outcome: Outcome,
        *,
        fd: int | None = None,
        fill: Fill | None = None,
        source: Source | None = None,
    ) -> Reader:
        return Reader(
            blob=blob,
            outcome=outcome,
            workers=self._workers,
            idle_s=self._config.fill_idle_s,
            fd=fd,
            progress=fill.progress if fill else None,
            source=source,
        )

    def _open_entry(self, blob: Blob) -> int | None:
        """Descriptor of an entry of the right size. A wrong one is passed over; the fill that follows replaces it."""
        try:
            found = self._folder.open_entry(blob.key)
        except OSError as error:
            log.warning("entry.unreadable", key=blob.key, error=error.strerror)
            return None
        if found is None:
            return None
        fd, size_bytes = found
        if size_bytes != blob.size_bytes:
            os.close(fd)
            log.error("entry.wrong_size", key=blob.key, size_bytes=size_bytes, expected_bytes=blob.size_bytes)
            return None
        return fd

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
                lambda: not task.cancelling(),
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

    async def _housekeep(self) -> None:
        while True:
            await asyncio.sleep(_HOUSEKEEPING_S)
            await self._ledger.flush()
            with contextlib.suppress(sqlite3.Error):  # the gauges are late; whoever needs the ledger gets the error
                await self._ledger.usage()
