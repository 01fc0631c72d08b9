"""The index and the folder together, off the loop: room is promised, entries come and go, uses are noted.

One thread does all of it, in turn. Other processes have ledgers of their own on the same folder.
"""

import asyncio
import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import structlog

from cache.disk import Folder, charge_bytes
from cache.errors import CacheFull, DiskFailed
from cache.index import Entry, Index, Usage
from cache.lru import Candidate, choose_victims, next_to_go
from cache.policies import POLICIES
from cache.threads import DiskThreads, ended, in_thread, start_in_thread
from cache.types import Blob, CacheConfig
from cache.watch import DiskWatch
from metrics import Instruments

log = structlog.get_logger(__name__)

_ORPHAN_S = 7.0  # looked at every second or so, later on a busy machine: gone within ten


class Ledger:
    """What the cache holds and what it has promised. Opened once, closed by whoever opened it.

    Against the limit count entries, promises, what is out of use and still read, and what is quarantined.
    """

    def __init__(self, folder: Folder, config: CacheConfig, watch: DiskWatch, instruments: Instruments) -> None:
        self._folder, self._config, self._instruments = folder, config, instruments
        self._policy = POLICIES[config.policy]
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="cache-ledger")
        self._disk = DiskThreads(self._thread, watch)
        self._touched: dict[str, int] = {}
        self._orphans: dict[str, tuple[tuple[int, int, int], float]] = {}
        self._index: Index
        self._settling: asyncio.Future[int]

    async def open(self) -> None:
        """Open the folder, and make it if there is none. Raises UnknownFormat, DiskFailed.

        On return the index is being made to agree with the folder: hits need not wait for that, all that is asked
        here does, since its one thread is busy.
        """
        await self._disk("open its index", self._open)
        self._settling = start_in_thread(self._thread, self._settle)

    async def settled(self) -> None:
        """Wait until index and folder agree. Raises DiskFailed if they could not be made to."""
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
        cause = error.__cause__
        if isinstance(cause, sqlite3.DatabaseError) and not isinstance(cause, sqlite3.OperationalError):
            await self._disk("make a new index", self._mend)

    async def close(self) -> None:
        with contextlib.suppress(OSError, sqlite3.Error):
            await ended(self._settling)
        await self.flush()
        await in_thread(self._thread, self._index.close)
        self._thread.shutdown(wait=False)

    async def reserve(self, name: str, blob: Blob) -> None:
        """Promise room to the fill whose file is `name`, and make it. Raises CacheFull, DiskFailed."""
        await self.flush()
        await self._disk("evict", self._reserve, name, blob)

    async def release(self, name: str) -> None:
        """Give back a promise. If the disk refuses, `sweep` does it later."""
        try:
            await self._disk("note the end of a fill", self._release, name)
        except DiskFailed as error:
            log.error("reservation.kept", name=name, error=str(error))

    async def commit(self, name: str, blob: Blob) -> None:
        """Turn a promise into an entry whose file is in its place. If the disk refuses, `sweep` does it later."""
        try:
            await self._disk("note the entry", self._index.commit, name, blob, self._folder.entry_stat)
        except DiskFailed as error:
            log.error("entry.noted_later", name=name, error=str(error))

    async def evict(self, key: str) -> int | None:
        """Take an entry out of use and return its size, or None if there is none. Raises DiskFailed if it stays."""
        size_bytes = await self._disk("evict", self._evict, key)
        if size_bytes is not None:
            self._count(key, size_bytes, "operator")
        return size_bytes

    async def quarantine(self, key: str) -> None:
        """Take a damaged entry out of service; its bytes stay for the operator while there is room."""
        await self._disk("quarantine", self._quarantine, key)

    async def pin(self, key: str, *, pinned: bool) -> bool:
        return await self._disk("pin", self._pin, key, pinned=pinned)

    async def entries(self) -> list[Entry]:
        """All entries, the most recently used first."""
        await self.flush()
        return await self._disk("list", self._index.entries)

    async def entry(self, key: str) -> Entry | None:
        await self.flush()
        return await self._disk("list", self._index.entry, key)

    async def usage(self) -> Usage:
        await self.flush()
        usage = await self._disk("list", self._usage)
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
        if await self._disk("evict", self._is_too_full, self._config.evict_from_percent):
            await self.prune()

    async def prune(self) -> tuple[int, int]:
        """Evict down to `evict_to_percent`, and while the disk is too full. How many entries went, and their bytes."""
        entries, freed_bytes = 0, 0
        while (charge_bytes := await self._disk("evict", self._trim_one)) is not None:
            entries, freed_bytes = entries + 1, freed_bytes + charge_bytes
        return entries, freed_bytes

    async def clean(self) -> None:
        """Remove what was found damaged."""
        await self._disk("remove", self._folder.empty_quarantine)

    async def sweep(self) -> list[str]:
        """Clean up after processes that died, and say which keys have a fill that nobody goes on with, each once.

        Such a fill is removed if that stays so for some seconds.
        """
        return await self._disk("remove", self._sweep)

    def touch(self, key: str) -> None:
        """Note a use. Kept in memory until `flush`: a hit writes nothing."""
        self._touched[key] = self._touched.pop(key, 0) + 1

    async def flush(self) -> None:
        """Write the noted uses, in their order. If the disk refuses, they are lost: recency, nothing else."""
        if not self._touched:
            return
        touched, self._touched = self._touched, {}
        try:
            await self._disk("note uses", self._index.touch, touched, self._policy, self._config.size_max)
        except DiskFailed as error:
            log.warning("touches.lost", entries=len(touched), error=str(error))

    def _open(self) -> None:
        self._folder.prepare()
        try:
            self._index = Index(self._folder.index_path)
        except sqlite3.OperationalError:  # locked, or the disk is full: the index itself is well
            raise
        except sqlite3.DatabaseError as error:
            self._replace_index(error)

    def _replace_index(self, error: sqlite3.Error) -> None:
        log.error("index.damaged", error=str(error), reason="a new one is made of what lies in the folder")
        with self._folder.exclusive("index", wait=True):  # another process may have done it meanwhile
            try:
                self._index = Index(self._folder.index_path)
                self._index.usage()
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError:
                self._folder.quarantine_index()
                self._index = Index(self._folder.index_path)

    def _mend(self) -> int:
        """Put a new index in the place of this one, unless another process has done so."""
        log.error("index.damaged", reason="a new one is made of what lies in the folder")
        with self._folder.exclusive("index", wait=True):
            was_current = self._index.is_current
            self._index.close()
            if was_current:
                self._folder.quarantine_index()
            self._index = Index(self._folder.index_path)
        return self._settle()

    def _settle(self) -> int:
        try:
            wrong = self._index.settle(self._folder.scan(), self._folder.entry_stat)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            self._index.close()
            self._replace_index(error)
            wrong = self._index.settle(self._folder.scan(), self._folder.entry_stat)
        self._index.lost_promises(self._folder.has_fill, self._folder.entry_stat)
        self._index.fit(self._policy, self._config.size_max)
        self._obey_limit()
        return wrong

    def _obey_limit(self) -> None:
        """The limit may be lower than what an earlier run has left."""
        while (over_bytes := self._usage().charged_bytes - self._config.size_max) > 0:
            try:
                self._make_room(0, -over_bytes, self._config.size_max)
            except CacheFull as error:
                log.error("cache.over_limit", over_bytes=over_bytes, reason=str(error))
                return

    def _reserve(self, name: str, blob: Blob) -> None:
        assert blob.size_bytes is not None
        need_bytes = charge_bytes(blob.size_bytes)
        # Who goes on with another's fill has its promise: nobody else must go for it.
        while not self._index.is_promised(name):
            limit_bytes = self._config.size_max
            if need_bytes > limit_bytes:
                raise CacheFull(need_bytes, limit_bytes)  # not worth a look at every entry
            room_bytes = self._room_bytes(limit_bytes)
            # The index looks again under its lock: what another process was promised meanwhile counts.
            if need_bytes <= room_bytes and self._index.promise(name, blob, limit_bytes, self._aside_bytes):
                return
            self._make_room(need_bytes, room_bytes, limit_bytes)

    def _make_room(self, need_bytes: int, room_bytes: int, limit_bytes: int) -> None:
        """Remove what has to go for `need_bytes`: all of it, or nothing. Raises CacheFull."""
        if self._folder.quarantined_bytes():
            self._folder.empty_quarantine()
            return
        read: set[str] = set()
        with self._taken() as taken:
            while True:
                victims = choose_victims(
                    self._candidates(), need_bytes=need_bytes, free_bytes=room_bytes, limit_bytes=limit_bytes, read=read
                )
                if not (new := [victim for victim in victims if victim.key not in taken]):
                    break
                read |= {victim.key for victim in new if not self._take(victim.key, taken)}
            for victim in victims:
                self._remove(victim, taken)

    def _trim_one(self) -> int | None:
        """Evict one entry and say what it counted. None: nothing has to go, or can."""
        read: set[str] = set()
        with self._folder.exclusive("trim") as is_ours, self._taken() as taken:
            if not is_ours or not self._is_too_full(self._config.evict_to_percent):
                return None
            while (victim := next_to_go(self._candidates(), read=read)) is not None:
                if self._take(victim.key, taken):
                    self._remove(victim, taken)
                    return victim.charge_bytes
                read.add(victim.key)
        return None

    @contextmanager
    def _taken(self) -> Iterator[dict[str, int]]:
        """Entries that nobody may begin to read now, by key with their descriptors."""
        taken: dict[str, int] = {}
        try:
            yield taken
        finally:
            for fd in taken.values():
                if fd >= 0:
                    os.close(fd)

    def _take(self, key: str, taken: dict[str, int]) -> bool:
        try:
            fd = self._folder.take_unread(key)
        except FileNotFoundError:
            fd = -1  # the row alone is left: it goes
        if fd is None:
            return False
        taken[key] = fd
        return True

    def _remove(self, victim: Candidate, taken: dict[str, int]) -> None:
        fd = taken.pop(victim.key)
        if fd >= 0:  # else there was no file; one that is there by now is not ours to remove
            try:
                self._folder.remove_entry(victim.key)
            finally:
                os.close(fd)  # now the disk has its bytes back; then they may be promised
        self._index.forget(victim.key, self._folder.has_entry)
        self._instruments.eviction_age_seconds.set(max(0.0, time.time() - victim.used_at_s))
        self._count(victim.key, victim.charge_bytes, "space")

    def _candidates(self) -> Iterator[Candidate]:
        return self._index.candidates(time.time() - self._config.min_age_s)

    def _room_bytes(self, limit_bytes: int) -> int:
        """What can be promised now: by the limit, and by what the disk has left beyond what it must keep free."""
        usage = self._usage()
        written_bytes = sum(stat.st_size for _, stat in self._folder.fills())
        unwritten_bytes = max(0, usage.reserved_bytes - written_bytes)
        on_disk = self._folder.free_bytes() - self._config.free_min - unwritten_bytes
        return min(limit_bytes - usage.charged_bytes, on_disk)

    def _aside_bytes(self) -> int:
        return self._folder.sweep_leaving() + self._folder.quarantined_bytes() + self._unpromised_bytes()

    def _is_too_full(self, percent: int) -> bool:
        if self._folder.free_bytes() < self._config.free_min:
            return True
        return self._usage().charged_bytes * 100 > self._config.size_max * percent

    def _usage(self) -> Usage:
        if not self._index.is_current:
            self._index.close()
            self._index = Index(self._folder.index_path)
            # It was removed, or replaced by a process that did not know what this one wrote into the old one since.
            self._index.settle(self._folder.scan(), self._folder.entry_stat)
        usage = self._index.usage()
        return Usage(
            entries=usage.entries,
            committed_bytes=usage.committed_bytes,
            reserved_bytes=usage.reserved_bytes + self._unpromised_bytes(),
            leaving_bytes=self._folder.sweep_leaving(),
            quarantined_bytes=self._folder.quarantined_bytes(),
        )

    def _unpromised_bytes(self) -> int:
        """What lies in fills whose promise was lost with a damaged index."""
        promised = self._index.promised()
        return sum(stat.st_size for path, stat in self._folder.fills() if path.name not in promised)

    def _release(self, name: str) -> None:
        self._index.release(name, self._folder.has_fill, self._folder.entry_stat)

    def _evict(self, key: str) -> int | None:
        found = self._folder.entry_stat(key)
        if not self._folder.retire_entry(key):
            found = None
        self._index.forget(key, self._folder.has_entry)
        return found.size_bytes if found else None

    def _pin(self, key: str, *, pinned: bool) -> bool:
        has_entry = self._index.pin(key, pinned=pinned)
        self._index.fit(self._policy, self._config.size_max)  # what is pinned is no part of the policy's space
        return has_entry

    def _quarantine(self, key: str) -> None:
        self._folder.quarantine_entry(key)
        self._index.forget(key, self._folder.has_entry)

    def _sweep(self) -> list[str]:
        self._folder.sweep_leaving()
        self._index.lost_promises(self._folder.has_fill, self._folder.entry_stat)
        return list(self._dead_fills())

    def _dead_fills(self) -> Iterator[str]:
        """Remove fills that nobody holds, nor has changed, for a while."""
        now_s, before, self._orphans = time.monotonic(), self._orphans, {}
        for path, stat in self._folder.fills():
            state = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
            was, since_s = before.get(path.name, (state, now_s))
            if was != state or not self._folder.is_orphan(path):
                continue
            if now_s - since_s < _ORPHAN_S:
                self._orphans[path.name] = state, since_s
                if path.name not in before and stat.st_size:
                    yield path.name.rpartition(".")[0]
            elif self._folder.retire_orphan(path):
                self._release(path.name)
                log.info("fill.removed", name=path.name, size_bytes=stat.st_size, reason="nobody goes on with it")

    def _count(self, key: str, freed_bytes: int, reason: str) -> None:
        self._instruments.evictions.labels(reason).inc()
        self._instruments.evicted_bytes.labels(reason).inc(freed_bytes)
        log.info("entry.evicted", key=key, freed_bytes=freed_bytes, reason=reason)
