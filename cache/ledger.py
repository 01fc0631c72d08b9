"""The index and the folder together, off the loop: room is promised, entries come and go, uses are noted.

One thread does all of it, in turn. Other processes have ledgers of their own on the same folder.
"""

import asyncio
import contextlib
import errno
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

import structlog

from cache.books import Books
from cache.demand import Demand
from cache.disk import Folder
from cache.errors import DiskFailed, UnknownFormat
from cache.holding import DiskWait
from cache.room import Room
from cache.rows import Entry, Usage
from cache.threads import DiskThreads, ended, in_thread, start_in_thread
from cache.types import Blob, CacheConfig
from cache.watch import DiskWatch
from metrics import Instruments

log = structlog.get_logger(__name__)

_OPEN_S = 5.0  # so long a start waits for a disk that gives no answer; then it goes round it
_LOOK_AGAIN_S = 0.1  # what another process is just removing counts twice until it has forgotten the row

P = ParamSpec("P")
T = TypeVar("T")


class Ledger:
    """What the cache holds and what it has promised. Until it is opened, all calls raise DiskFailed with the reason.

    Against the limit count entries, promises, what is out of use and still read, and what is quarantined.
    """

    def __init__(self, folder: Folder, config: CacheConfig, watch: DiskWatch, instruments: Instruments) -> None:
        self._folder, self._config, self._watch, self._instruments = folder, config, watch, instruments
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="cache-ledger")
        self._disk = DiskThreads(self._thread, watch)
        self._touched: dict[str, int] = {}
        self._books = Books(folder, config)
        self._room = Room(self._books, config, instruments, self._count)
        self._refusal: OSError | sqlite3.Error | None = OSError(errno.ENOTCONN, "its folder is not open")
        self._opening: asyncio.Future[Demand] | None = None
        self._settling: asyncio.Future[int] | None = None

    async def open(self) -> Demand:
        """Open the folder, and make it if there is none. Raises UnknownFormat, DiskFailed; it may be tried again then.

        A disk that gives no answer is waited for `_OPEN_S`; who tries again goes on to wait for the same try.
        What else stays open in the folder is given, and lives until `close`.
        On return the index is being made to agree with the folder: hits need not wait for that, all that is asked
        here does, since its one thread is busy.
        """
        if self._opening is None:
            self._opening = self._disk.start("open its index", self._books.open)
        if not (await asyncio.wait({self._opening}, timeout=_OPEN_S))[0]:
            self._refusal = TimeoutError(errno.ETIMEDOUT, "it has given no answer yet")
            raise DiskFailed("open its index", self._refusal)
        opening, self._opening = self._opening, None
        try:
            demand = opening.result()
        except (OSError, sqlite3.Error) as error:
            self._refusal = error
            raise DiskFailed("open its index", error) from error
        self._refusal = None
        self._settling = start_in_thread(self._thread, self._settle)
        return demand

    def check_open(self, operation: str) -> None:
        """Raises DiskFailed if the folder is not open. `operation` is what that keeps from being done."""
        if self._refusal is not None:
            raise DiskFailed(operation, self._refusal)

    async def settled(self) -> None:
        """Wait until index and folder agree, once it is open. Raises DiskFailed if they could not be made to."""
        assert self._settling is not None
        started = time.monotonic()
        try:
            wrong = await ended(self._settling)
        except (OSError, sqlite3.Error) as error:
            raise DiskFailed("read its folder", error) from error
        usage = await self.usage()
        log.info(
            "cache.opened",
            dir=str(self._folder.root),
            entries=usage.entries,
            committed_bytes=usage.committed_bytes,
            limit_bytes=self._config.size_max,
            reconciled=wrong,
            duration_s=round(time.monotonic() - started, 3),
        )

    async def mend(self, error: DiskFailed) -> None:
        """Make the index anew if the error came of its being damaged. Order of use, pins and promises are lost then."""
        cause = error.error
        if isinstance(cause, sqlite3.DatabaseError) and not isinstance(cause, sqlite3.OperationalError):
            await self._call("make a new index", self._mend)

    async def close(self) -> None:
        if self._opening is not None:
            with contextlib.suppress(OSError, sqlite3.Error, UnknownFormat):
                await ended(self._opening)
        if self._settling is not None:
            with contextlib.suppress(OSError, sqlite3.Error):
                await ended(self._settling)
            await self.flush()
        await in_thread(self._thread, self._books.close)
        self._thread.shutdown(wait=False)

    async def reserve(self, name: str, blob: Blob, wait: DiskWait) -> None:
        """Promise room to the fill whose file is `name`, and make it. Raises CacheFull, DiskFailed.

        `wait` hears of it: not of what removing takes, or making the index agree at the start, while it goes on.
        """
        with wait(self._room.signs_of_life()):
            await self.flush()
            await self._call("evict", self._room.reserve, name, blob)

    async def release(self, name: str) -> None:
        """Give back a promise. If the disk refuses, `sweep` does it later."""
        try:
            await self._call("note the end of a fill", self._books.release, name)
        except DiskFailed as error:
            log.error("reservation.kept", name=name, error=str(error))

    async def commit(self, name: str, blob: Blob) -> None:
        """Turn a promise into an entry whose file is in its place. If the disk refuses, `sweep` does it later."""
        try:
            await self._call("note the entry", self._books.commit, name, blob)
        except DiskFailed as error:
            log.error("entry.noted_later", name=name, error=str(error))

    async def evict(self, key: str) -> int | None:
        """Take an entry out of use and return its size, or None if there is none. Raises DiskFailed if it stays."""
        size_bytes = await self._answer("evict", self._books.evict, key)
        if size_bytes is not None:
            self._count(key, size_bytes, "operator")
        return size_bytes

    async def quarantine(self, key: str) -> None:
        """Take a damaged entry out of service; its bytes stay for the operator while there is room."""
        await self._call("quarantine", self._books.quarantine, key)

    async def pin(self, key: str, *, pinned: bool) -> bool:
        return await self._answer("pin", self._books.pin, key, pinned=pinned)

    async def entries(self) -> list[Entry]:
        """All entries, the most recently used first."""
        return await self._answer("list", self._books.entries)

    async def entry(self, key: str) -> Entry | None:
        return await self._answer("list", self._books.entry, key)

    async def usage(self) -> Usage:
        usage = await self._answer("list", self._books.usage)
        self._instruments.cache_entries.set(usage.entries)
        self._instruments.cache_limit_bytes.set(self._config.size_max)
        for state, size_bytes in (
            ("committed", usage.committed_bytes),
            ("reserved", usage.reserved_bytes),
            ("leaving", usage.leaving_bytes),
            ("quarantined", usage.quarantined_bytes),
        ):
            self._instruments.cache_bytes.labels(state).set(size_bytes)
        return usage

    async def trim(self) -> None:
        """Evict ahead of need: above `evict_from_percent` down to `evict_to_percent`, and while the disk is too full.

        One process at a time does it, one entry at a time, so that who needs room now need not wait for many.
        """
        if await self._call("evict", self._room.is_too_full, self._config.evict_from_percent):
            await asyncio.sleep(_LOOK_AGAIN_S)
            await self.prune()

    async def prune(self) -> tuple[int, int]:
        """Evict down to `evict_to_percent`, and while the disk is too full. How many entries went, and their bytes."""
        entries, freed_bytes = 0, 0
        while (charge_bytes := await self._answer("evict", self._room.trim_one)) is not None:
            entries, freed_bytes = entries + 1, freed_bytes + charge_bytes
        return entries, freed_bytes

    async def clean(self) -> None:
        """Remove what was found damaged."""
        await self._answer("remove", self._folder.empty_quarantine)

    async def sweep(self) -> list[str]:
        """Clean up after processes that died, and say which keys have a fill that nobody goes on with, each once.

        Such a fill is removed if that stays so for some seconds.
        """
        return await self._call("remove", self._books.sweep)

    def touch(self, key: str) -> None:
        """Note a use. Kept in memory until `flush`: a hit writes nothing."""
        self._touched[key] = self._touched.pop(key, 0) + 1

    async def flush(self) -> None:
        """Write the noted uses, in their order. If the disk refuses, they are lost: recency, nothing else."""
        if (flushing := self._begin_flush()) is not None:
            with contextlib.suppress(OSError, sqlite3.Error):
                await ended(flushing)

    def _begin_flush(self) -> asyncio.Future[None] | None:
        """What is asked of the one thread after it is done after it."""
        if not self._touched or self._refusal is not None:
            return None
        touched, self._touched = self._touched, {}

        def flushed(future: asyncio.Future[None]) -> None:
            if not future.cancelled() and (error := future.exception()) is not None:
                log.warning("touches.lost", entries=len(touched), error=str(error))

        flushing = self._disk.start("note uses", self._books.touch, touched)
        flushing.add_done_callback(flushed)
        return flushing

    async def _answer(self, operation: str, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """For who waits for the answer only, which tells of all uses so far: see `DiskThreads.answer`.

        Raises DiskFailed.
        """
        self.check_open(operation)
        if not self._disk.is_silent:
            self._begin_flush()
        return await self._disk.answer(operation, self._room.signs_of_life(), call, *args, **kwargs)

    async def _call(self, operation: str, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Raises DiskFailed."""
        self.check_open(operation)
        return await self._disk(operation, call, *args, **kwargs)

    def _mend(self) -> int:
        self._books.mend()
        return self._settle()

    def _settle(self) -> int:
        with self._watch.operation("read its folder", lambda: self._books.steps):
            wrong = self._books.settle()
        self._room.obey_limit()
        return wrong

    def _count(self, key: str, freed_bytes: int, reason: str) -> None:
        self._instruments.evictions.labels(reason).inc()
        self._instruments.evicted_bytes.labels(reason).inc(freed_bytes)
        log.info("entry.evicted", key=key, freed_bytes=freed_bytes, reason=reason)
