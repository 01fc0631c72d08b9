"""A cache folder without its service: for a look, and for work on its entries. Disturbs no process that serves it."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from cache.disk import Folder
from cache.errors import UnknownFormat
from cache.files import become_reader, is_at
from cache.housekeeping import Verdict
from cache.index import Index
from cache.queue import Queue
from cache.rows import Entry, Usage
from cache.scrub import Suspect, check_entry


class StoppedCache:
    """Opens no fill and reconciles nothing. All of it blocks and raises OSError, sqlite3.Error; close it after use.

    Raises UnknownFormat if there is no cache in `folder`; none is made.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = Folder(folder)
        if not self._folder.index_path.exists():
            raise UnknownFormat(f"{folder} holds no cache")
        self._folder.prepare()
        self._index = Index(self._folder.index_path)
        self._queue = Queue(folder)

    def entries(self) -> list[Entry]:
        """All entries, the most recently used first."""
        return self._index.entries()

    def queued(self) -> list[str]:
        """The keys that some service is to bring in, or does."""
        return self._queue.asked()

    def usage(self) -> Usage:
        return replace(
            self._index.usage(),
            leaving_bytes=self._folder.sweep_leaving(),
            quarantined_bytes=self._folder.quarantined_bytes(),
        )

    def evict(self, key: str) -> int | None:
        """Remove an entry and return its size, None if there is none. Whoever reads it finishes."""
        entry = self._index.entry(key)
        if entry is None:
            return None
        self._folder.retire_entry(key)
        self._index.forget(key, self._folder.has_entry)
        return entry.size_bytes

    def pin(self, key: str, *, pinned: bool) -> bool:
        """Whether there is such an entry."""
        return self._index.pin(key, pinned=pinned)

    def verify(self, key: str, may_read: Callable[[int], bool]) -> Verdict:
        """Read an entry back and compare it with its sums; a damaged one goes to quarantine.

        `may_read` hears of each extent's length before it is read. Raises Interrupted once it says False.
        """
        entry = self._index.entry(key)
        if entry is None:
            return Verdict.ABSENT
        path = self._folder.entry_path(key)
        suspect = Suspect(key=key, path=path, sums_path=self._folder.sums_path(key), size_bytes=entry.size_bytes)
        with _held(path) as fd:
            if fd is None:
                return Verdict.ABSENT
            try:
                damage = check_entry(suspect, may_read)
            except FileNotFoundError:
                return Verdict.ABSENT
            if not is_at(fd, path):  # evicted meanwhile, and its sums with it
                return Verdict.ABSENT
            if damage is None:
                return Verdict.WHOLE
            self._folder.quarantine_entry(key)
        self._index.forget(key, self._folder.has_entry)
        return Verdict.DAMAGED

    def close(self) -> None:
        self._index.close()


@contextmanager
def _held(path: Path) -> Iterator[int | None]:
    """The entry as its readers have it: nobody removes its bytes meanwhile. None if somebody is about to, or has."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield None
        return
    try:
        yield fd if become_reader(fd) else None
    finally:
        os.close(fd)
