"""The index and the folder together, off the loop: room is promised, entries come and go, uses are noted.

One thread does all of it, in turn, so a promise and the unlinking that makes it true are one step.
"""

import asyncio
import sqlite3
import time
from collections import Counter
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import structlog

from cache.disk import Folder, charge_bytes
from cache.errors import CacheFull, DiskFailed
from cache.index import Entry, Index, Usage
from cache.threads import in_thread
from cache.types import Blob
from metrics import Instruments

log = structlog.get_logger(__name__)


class Ledger:
    """What the cache holds and what it has promised. Opened once, closed by whoever opened it.

    A file that is removed while somebody reads it stays on disk until he ends. Until then its bytes count as promised.
    """

    def __init__(self, folder: Folder, limit_bytes: int, instruments: Instruments) -> None:
        self._folder, self._limit_bytes, self._instruments = folder, limit_bytes, instruments
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="cache-ledger")
        self._touched: dict[str, int] = {}
        self._lent: Counter[str] = Counter()
        self._unlinked: dict[str, list[int]] = {}  # reservations of removed files that are still read
        self._over: list[int] = []  # those whose readers have ended; `flush` gives them back
        self._index: Index

    async def open(self) -> None:
        """Make folder and index agree and obey the limit. Raises UnknownFormat, OSError, DiskFailed."""
        started = time.monotonic()
        try:
            dead_fills, reconciled, victims = await in_thread(self._thread, self._open)
        except sqlite3.Error as error:
            raise DiskFailed("open its index", error) from error
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
        need_bytes = charge_bytes(blob.size_bytes)
        await self.flush()
        promised: list[int] = []
        try:
            victims = await in_thread(
                self._thread, self._reserve, blob.key, need_bytes, frozenset(self._lent), promised
            )
            (reservation,) = promised
            self._count(victims, "space")
            # Opened between the choice and the unlinking: such a victim has not given its room back yet.
            if raced := {key: freed for key, freed in victims.items() if key in self._lent}:
                for key, freed_bytes in raced.items():
                    self._linger(key, await in_thread(self._thread, self._index.promise, key, freed_bytes))
                usage = await in_thread(self._thread, self._index.usage)
                if usage.committed_bytes + usage.reserved_bytes > self._limit_bytes:
                    await self.release(reservation)
                    raise CacheFull(need_bytes, self._limit_bytes)
        except (OSError, sqlite3.Error) as error:
            raise DiskFailed("evict", error) from error
        except asyncio.CancelledError:
            self._over += promised  # the thread made the promise, and nobody is left to use it
            raise
        return reservation

    async def release(self, reservation: int, unlinked: str | None = None) -> None:
        """Give back a promise; if it was for the `unlinked` file of this key, when nobody reads that any more.

        If the disk refuses, the room is lost until a restart.
        """
        if unlinked is not None:
            self._linger(unlinked, reservation)
            return await self.flush()
        try:
            await in_thread(self._thread, self._index.release, reservation)
        except sqlite3.Error as error:
            log.error("reservation.lost", reservation=reservation, error=str(error))

    @contextmanager
    def lending(self, key: str) -> Iterator[None]:
        """While somebody reads the file of this key."""
        self._lent[key] += 1
        try:
            yield
        finally:
            self._lent[key] -= 1
            if not self._lent[key]:
                del self._lent[key]
                self._over += self._unlinked.pop(key, [])

    def _linger(self, key: str, reservation: int) -> None:
        if key in self._lent:
            self._unlinked.setdefault(key, []).append(reservation)
        else:
            self._over.append(reservation)

    async def commit(self, reservation: int, blob: Blob) -> None:
        """Turn a promise into an entry whose file is in its place. Raises DiskFailed; the file is gone then."""
        try:
            await in_thread(self._thread, self._commit, reservation, blob)
        except (OSError, sqlite3.Error) as error:
            raise DiskFailed("note the entry", error) from error

    async def evict(self, key: str) -> int | None:
        """Remove an entry and return its size, or None if there is none. Raises DiskFailed if its file stays."""
        try:
            evicted = await in_thread(self._thread, self._evict, key)
        except (OSError, sqlite3.Error) as error:
            raise DiskFailed("evict", error) from error
        if evicted is None:
            return None
        size_bytes, reservation = evicted
        self._count({key: size_bytes}, "operator")
        await self.release(reservation, key)
        return size_bytes

    async def quarantine(self, key: str) -> None:
        """Take a damaged entry out of service; its bytes stay for the operator and no longer count."""
        await in_thread(self._thread, self._quarantine, key)

    async def entries(self) -> list[Entry]:
        """All entries, the most recently used first."""
        await self.flush()
        return await in_thread(self._thread, self._index.entries)

    async def usage(self) -> Usage:
        await self.flush()
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
        """Give back what is no longer read, and write the noted uses, in their order.

        If the disk refuses, the uses are lost: recency, nothing else.
        """
        while self._over:  # one by one: a caller that is cancelled here must not take the rest along
            await self.release(self._over.pop())
        if self._touched:
            touched, self._touched = self._touched, {}
            try:
                await in_thread(self._thread, self._index.touch, touched)
            except sqlite3.Error as error:
                log.warning("touches.lost", entries=len(touched), error=str(error))

    def _open(self) -> tuple[int, int, dict[str, int]]:
        self._folder.prepare()
        dead_fills = self._folder.remove_dead_fills()
        try:
            reconciled = self._reconcile()
        except sqlite3.OperationalError:  # locked, or the disk is full: the index itself is well
            raise
        except sqlite3.DatabaseError as error:
            log.error("index.damaged", error=str(error), reason="a new one is made of what lies in the folder")
            self._folder.quarantine_index()
            reconciled = self._reconcile()
        # Room for nothing: evicts only if the limit is lower than what an earlier run has left.
        promised: list[int] = []
        victims = self._reserve("", 0, (), promised)
        self._index.release(*promised)
        return dead_fills, reconciled, victims

    def _reconcile(self) -> int:
        self._index = Index(self._folder.index_path)
        try:
            return self._index.reconcile(self._folder.scan())
        except BaseException:
            self._index.close()
            raise

    def _commit(self, reservation: int, blob: Blob) -> None:
        try:
            self._index.commit(reservation, blob)
        except sqlite3.Error:
            self._folder.remove_entry(blob.key)  # an entry that nobody counts would break the limit
            raise

    def _reserve(self, key: str, need_bytes: int, lent: Collection[str], promised: list[int]) -> dict[str, int]:
        """The victims, now gone. The reservation goes into `promised`, where also a cancelled caller finds it."""
        reservation, victims = self._index.reserve(key, need_bytes, self._limit_bytes, lent)
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
        promised.append(reservation)
        return {victim.key: victim.charge_bytes for victim in victims}

    def _evict(self, key: str) -> tuple[int, int] | None:
        """Size of what was removed, and the reservation that counts it on."""
        entry = self._index.entry(key)
        if entry is None:
            return None
        self._folder.remove_entry(key)
        reservation = self._index.promise(key, charge_bytes(entry.size_bytes))
        self._index.forget([key])
        return entry.size_bytes, reservation

    def _quarantine(self, key: str) -> None:
        self._folder.quarantine_entry(key)
        self._index.forget([key])

    def _count(self, removed: dict[str, int], reason: str) -> None:
        for key, freed_bytes in removed.items():
            self._instruments.evictions.labels(reason).inc()
            self._instruments.evicted_bytes.labels(reason).inc(freed_bytes)
            log.info("entry.evicted", key=key, freed_bytes=freed_bytes, reason=reason)
