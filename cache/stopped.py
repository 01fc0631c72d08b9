"""A cache folder without its service: for a look, and for removing entries. Disturbs no process that serves it."""

from pathlib import Path

from cache.disk import Folder
from cache.errors import UnknownFormat
from cache.index import Entry, Index, Usage


class StoppedCache:
    """Opens no fill and reconciles nothing. All of it blocks; close it after use.

    Raises UnknownFormat if there is no cache in `folder`; none is made.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = Folder(folder)
        if not self._folder.index_path.exists():
            raise UnknownFormat(f"{folder} holds no cache")
        self._folder.prepare()
        self._index = Index(self._folder.index_path)

    def entries(self) -> list[Entry]:
        """All entries, the most recently used first."""
        return self._index.entries()

    def usage(self) -> Usage:
        return self._index.usage()

    def evict(self, key: str) -> int | None:
        """Remove an entry and return its size, None if there is none. Raises OSError, sqlite3.Error."""
        entry = self._index.entry(key)
        if entry is None:
            return None
        self._folder.remove_entry(key)
        self._index.forget([key])
        return entry.size_bytes

    def close(self) -> None:
        self._index.close()
