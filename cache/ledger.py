"""The index and the folder together, off the loop: room is promised, entries come and go, uses are noted.

One thread does all of it, in turn, so a promise and the unlinking that makes it true are one step.
"""

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor

import structlog

from cache.disk import Folder, charge_bytes
from cache.errors import DiskFailed
from cache.index import Entry, Index, Usage
from cache.threads import in_thread
from cache.types import Blob
from metrics import Instruments

log = structlog.get_logger(__name__)


class Ledger:
    """What the cache holds and what it has promised. Opened once, closed by whoever opened it."""

    def __init__(self, folder: Folder, limit_bytes: int, instruments: Instruments) -> None:
        self._folder, self._limit_bytes, self._instruments = folder, limit_bytes, instruments
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="cache-ledger")
        self._touched: dict[str, int] = {}
        self._index: Index

    async def open(self) -> None:
        """Make folder and index agree and obey the limit. Raises UnknownFormat, OSError, sqlite3.Error."""
        started = time.monotonic()
        dead_fills, reconciled, victims = await in_thread(self._thread, self._open)
        self._count(victims, "space")
        usage = await self.usage()
        log.info(
            "cache.opened",
            dir=str(self._folder.root),
            entries=usage.entries,
            committed_bytes=usage.committed_bytes,
            limit_bytes=self._limit_bytes,
            reconciled=reconciled,
            dead_fills=dead_fills,
            duration_s=round(time.monotonic() - started, 3),
        )

    async def close(self) -> None:
        await self.flush()
        await in_thread(self._thread, self._index.close)
        self._thread.shutdown(wait=False)

    async def reserve(self, blob: Blob) -> int:
        """Promise room for `blob` and make it. Raises CacheFull, and DiskFailed if a victim cannot be removed."""
        assert blob.size_bytes is not None
        await self.flush()
        try:
            reservation, victims = await in_thread(self._thread, self._reserve, blob.key, charge_bytes(blob.size_bytes))
        except (OSError, sqlite3.Error) as error:
            raise DiskFailed("evict", error) from error
        self._count(victims, "space")
        return reservation

    async def release(self, reservation: int) -> None:
        """Give back a promise whose fill came to nothing. If the disk refuses, the room is lost until a restart."""
        try:
            await in_thread(self._thread, self._index.release, reservation)
        except sqlite3.Error as error:
            log.error("reservation.lost", reservation=reservation, error=str(error))

    async def commit(self, reservation: int, blob: Blob) -> None:
        """Turn a promise into an entry whose file is in its place. Raises DiskFailed; the file is gone then."""
        try:
            await in_thread(self._thread, self._commit, reservation, blob)
        except (OSError, sqlite3.Error) as error:
            raise DiskFailed("note the entry", error) from error

    async def evict(self, key: str) -> int | None:
        """Remove an entry and return its size, or None if there is none. Raises DiskFailed if its file stays."""
        try:
            size_bytes = await in_thread(self._thread, self._evict, key)
        except (OSError, sqlite3.Error) as error:
            raise DiskFailed("evict", error) from error
        if size_bytes is not None:
            self._count({key: size_bytes}, "operator")
        return size_bytes

    async def quarantine(self, key: str) -> None:
        """Take a damaged entry out of service; its bytes stay for the operator and no longer count."""
        await in_thread(self._thread, self._quarantine, key)

    async def entries(self) -> list[Entry]:
        """All entries, the most recently used first."""
        await self.flush()
        return await in_thread(self._thread, self._index.entries)

    async def usage(self) -> Usage:
        usage = await in_thread(self._thread, self._index.usage)
        self._instruments.cache_entries.set(usage.entries)
        self._instruments.cache_bytes.labels("committed").set(usage.committed_bytes)
        self._instruments.cache_bytes.labels("reserved").set(usage.reserved_bytes)
        self._instruments.cache_limit_bytes.set(self._limit_bytes)
        return usage

    def touch(self, key: str) -> None:
        """Note a use. Kept in memory until `flush`: a hit writes nothing."""
        self._touched[key] = self._touched.pop(key, 0) + 1

    async def flush(self) -> None:
        """Write the noted uses, in their order. If the disk refuses, they are lost: recency, nothing else."""
        if self._touched:
            touched, self._touched = self._touched, {}
            try:
                await in_thread(self._thread, self._index.touch, touched)
            except sqlite3.Error as error:
                log.warning("touches.lost", entries=len(touched), error=str(error))

    def _open(self) -> tuple[int, int, dict[str, int]]:
        self._folder.prepare()
        self._index = Index(self._folder.index_path)
        dead_fills = self._folder.remove_dead_fills()
        reconciled = self._index.reconcile(self._folder.scan())
        # Room for nothing: evicts only if the limit is lower than what an earlier run has left.
        reservation, victims = self._reserve("", 0)
        self._index.release(reservation)
        return dead_fills, reconciled, victims

    def _commit(self, reservation: int, blob: Blob) -> None:
        try:
            self._index.commit(reservation, blob)
        except sqlite3.Error:
            self._folder.remove_entry(blob.key)  # an entry that nobody counts would break the limit
            raise

    def _reserve(self, key: str, need_bytes: int) -> tuple[int, dict[str, int]]:
        reservation, victims = self._index.reserve(key, need_bytes, self._limit_bytes)
        removed: list[str] = []
        try:
            for victim in victims:
                self._folder.remove_entry(victim.key)
                removed.append(victim.key)
        except OSError:
            self._index.release(reservation)
            self._index.keep(victim.key for victim in victims)
            raise
        finally:
            self._index.forget(removed)
        return reservation, {victim.key: victim.charge_bytes for victim in victims}

    def _evict(self, key: str) -> int | None:
        entry = self._index.entry(key)
        if entry is None:
            return None
        self._folder.remove_entry(key)
        self._index.forget([key])
        return entry.size_bytes

    def _quarantine(self, key: str) -> None:
        self._folder.quarantine_entry(key)
        self._index.forget([key])

    def _count(self, removed: dict[str, int], reason: str) -> None:
        for key, freed_bytes in removed.items():
            self._instruments.evictions.labels(reason).inc()
            self._instruments.evicted_bytes.labels(reason).inc(freed_bytes)
            log.info("entry.evicted", key=key, freed_bytes=freed_bytes, reason=reason)
