"""Room for new images: what is promised, what has to go for it, and what goes ahead of need. All of it blocks."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from cache.books import Books
from cache.disk import charge_bytes
from cache.errors import CacheFull
from cache.lru import Candidate, choose_victims, next_to_go
from cache.types import Blob, CacheConfig
from metrics import Instruments

log = structlog.get_logger(__name__)

_REMOVED_BYTES_S = 10 * 1024**3  # a file system that takes longer to give up a file is slow


class Room:
    """Promises room and removes entries for it, by the books. `counted` hears of each: its key, bytes and reason."""

    def __init__(
        self, books: Books, config: CacheConfig, instruments: Instruments, counted: Callable[[str, int, str], None]
    ) -> None:
        self._books, self._folder, self._config, self._instruments = books, books.folder, config, instruments
        self._count = counted
        self._removed, self._removing_until_s = 0, 0.0

    def signs_of_life(self) -> Callable[[], bool]:
        """Whether something was done since it was last asked, or what is removed is large enough to take longer.

        The one thing that does not block.
        """
        seen = self._removed, self._books.steps

        def is_alive() -> bool:
            nonlocal seen
            before, seen = seen, (self._removed, self._books.steps)
            return seen != before or time.monotonic() < self._removing_until_s

        return is_alive

    def obey_limit(self) -> None:
        """The limit may be lower than what an earlier run has left."""
        while (over_bytes := self._books.usage().charged_bytes - self._config.size_max) > 0:
            try:
                self._make_room(0, -over_bytes, self._config.size_max)
            except CacheFull as error:
                log.error("cache.over_limit", over_bytes=over_bytes, reason=str(error))
                return

    def reserve(self, name: str, blob: Blob) -> None:
        assert blob.size_bytes is not None
        limit_bytes = self._config.size_max
        while True:
            # Who goes on with another's fill has its promise: for that nobody else must go.
            is_promised = self._books.index.is_promised(name)
            need_bytes = 0 if is_promised else charge_bytes(blob.size_bytes)
            if need_bytes > limit_bytes:
                raise CacheFull(need_bytes, limit_bytes)  # not worth a look at every entry
            if is_promised:
                room_bytes = limit_bytes - self._books.usage().charged_bytes
            else:
                room_bytes = self._room_bytes(limit_bytes)
            # The index looks again under its lock: what another process was promised meanwhile counts.
            if need_bytes <= room_bytes and self._books.index.promise(name, blob, limit_bytes, self._books.aside_bytes):
                return
            self._make_room(need_bytes, room_bytes, limit_bytes)

    def _make_room(self, need_bytes: int, room_bytes: int, limit_bytes: int) -> None:
        """Remove what has to go for `need_bytes`: all of it, or nothing. Raises CacheFull."""
        if self._folder.quarantined_bytes():
            self._folder.empty_quarantine()
            return
        if self._books.drop_kept() is not None:
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

    def trim_one(self) -> int | None:
        """Evict one entry and say what it counted. None: nothing has to go, or can."""
        read: set[str] = set()
        with self._folder.exclusive("trim") as is_ours, self._taken() as taken:
            if not is_ours or not self.is_too_full(self._config.evict_to_percent):
                return None
            if (freed_bytes := self._books.drop_kept()) is not None:
                return freed_bytes
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
        self._removing_until_s = time.monotonic() + victim.charge_bytes / _REMOVED_BYTES_S
        if fd >= 0:  # else there was no file; one that is there by now is not ours to remove
            self._folder.remove_entry(victim.key, fd)  # now the disk has its bytes back; then they may be promised
        self._books.index.forget(victim.key, self._folder.has_entry)
        self._instruments.eviction_age_seconds.set(max(0.0, time.time() - victim.used_at_s))
        self._count(victim.key, victim.charge_bytes, "space")
        self._removed, self._removing_until_s = self._removed + 1, 0.0

    def _candidates(self) -> Iterator[Candidate]:
        return self._books.index.candidates(time.time() - self._config.min_age_s)

    def _room_bytes(self, limit_bytes: int) -> int:
        """What can be promised now: by the limit, and by what the disk has left beyond what it must keep free."""
        usage = self._books.usage()
        written_bytes = sum(stat.st_size for _, stat in self._folder.fills())
        unwritten_bytes = max(0, usage.reserved_bytes - written_bytes)
        on_disk = self._folder.free_bytes() - self._config.free_min - unwritten_bytes
        return min(limit_bytes - usage.charged_bytes, on_disk)

    def is_too_full(self, percent: int) -> bool:
        if self._folder.free_bytes() < self._config.free_min:
            return True
        return self._books.usage().charged_bytes * 100 > self._config.size_max * percent
