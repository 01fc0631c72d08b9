"""Who was used when, and how much is promised. One short SQLite transaction each.

The folder says what is there; this says who is oldest. A lost row costs recency, never correctness: `reconcile`
makes the two agree. Order of use is a counter, not a time, so no clock can disturb it. Everything here blocks and
belongs into the index's own thread.
"""

import sqlite3
import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from cache.disk import Found, charge_bytes
from cache.lru import Candidate, choose_victims
from cache.types import Blob, Digest

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    key              TEXT PRIMARY KEY,
    size_bytes       INTEGER NOT NULL,
    charge_bytes     INTEGER NOT NULL,
    digest_algorithm TEXT,
    digest_value     TEXT,
    used             INTEGER NOT NULL,
    used_at_s        REAL NOT NULL,
    created_at_s     REAL NOT NULL,
    hits             INTEGER NOT NULL DEFAULT 0,
    pinned           INTEGER NOT NULL DEFAULT 0,
    evicting         INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX IF NOT EXISTS entries_by_use ON entries (used);
CREATE TABLE IF NOT EXISTS reservations (
    id           INTEGER PRIMARY KEY,
    key          TEXT NOT NULL,
    charge_bytes INTEGER NOT NULL
) STRICT;
"""
_SELECT = "SELECT key, size_bytes, digest_algorithm, digest_value, hits, used_at_s, created_at_s, pinned FROM entries"
_NEXT_USE = "(SELECT coalesce(max(used), 0) + 1 FROM entries)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One row, for lists and statistics."""

    key: str
    size_bytes: int
    digest: Digest | None
    hits: int
    used_at_s: float
    created_at_s: float
    pinned: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Bytes charged against the limit, and how many entries there are."""

    entries: int
    committed_bytes: int
    reserved_bytes: int


class Index:
    """One connection to index.db. Other processes may hold theirs: WAL and a busy time-out see to that."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
        try:
            self._db.execute("PRAGMA journal_mode = WAL")
            # A power cut may lose the last touches; it cannot damage the file, and `reconcile` repairs what is missing.
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.executescript(_SCHEMA)
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        self._db.close()

    def reserve(
        self, key: str, need_bytes: int, limit_bytes: int, lent: Collection[str] = ()
    ) -> tuple[int, list[Candidate]]:
        """Promise room and name the entries that must be removed before the first byte is written.

        Returns the reservation's id and the victims; they stay in the ledger until `forget`. An entry that is `lent`
        is none: its bytes would stay on disk until its readers have ended. Raises CacheFull, and changes nothing then.
        """
        with self._write():
            usage = self._usage()
            free = limit_bytes - usage.committed_bytes - usage.reserved_bytes + self._evicting_bytes()
            rows = self._db.execute("SELECT key, charge_bytes, pinned FROM entries WHERE NOT evicting ORDER BY used")
            victims = choose_victims(
                (Candidate(row[0], row[1], bool(row[2]) or row[0] in lent) for row in rows),
                need_bytes=need_bytes,
                free_bytes=free,
                limit_bytes=limit_bytes,
            )
            self._db.executemany("UPDATE entries SET evicting = 1 WHERE key = ?", [(victim.key,) for victim in victims])
            return self.promise(key, need_bytes), victims

    def promise(self, key: str, charge_bytes: int) -> int:
        """Count these bytes whether there is room or not; `release` takes the id."""
        cursor = self._db.execute("INSERT INTO reservations (key, charge_bytes) VALUES (?, ?)", (key, charge_bytes))
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def release(self, reservation: int) -> None:
        """Give back a promise whose fill came to nothing."""
        self._db.execute("DELETE FROM reservations WHERE id = ?", (reservation,))

    def commit(self, reservation: int, blob: Blob) -> None:
        """Turn a promise into an entry, the most recently used one."""
        assert blob.size_bytes is not None
        with self._write():
            self.release(reservation)
            self._insert(blob.key, blob.size_bytes, blob.digest, time.time())

    def forget(self, keys: Iterable[str]) -> None:
        """Drop the rows of entries whose files are gone."""
        with self._write():
            self._db.executemany("DELETE FROM entries WHERE key = ?", [(key,) for key in keys])

    def keep(self, keys: Iterable[str]) -> None:
        """The files of these victims could not be removed: they count on, and are candidates again."""
        with self._write():
            self._db.executemany("UPDATE entries SET evicting = 0 WHERE key = ?", [(key,) for key in keys])

    def touch(self, hits: Mapping[str, int]) -> None:
        """Note uses, in the mapping's order: its last key becomes the most recent."""
        with self._write():
            self._db.executemany(
                f"UPDATE entries SET used = {_NEXT_USE}, used_at_s = ?, hits = hits + ? WHERE key = ?",
                [(time.time(), count, key) for key, count in hits.items()],
            )

    def entries(self) -> list[Entry]:
        """All entries, the most recently used first."""
        return [_entry(*row) for row in self._db.execute(f"{_SELECT} WHERE NOT evicting ORDER BY used DESC")]

    def entry(self, key: str) -> Entry | None:
        row = self._db.execute(f"{_SELECT} WHERE key = ?", (key,)).fetchone()
        return _entry(*row) if row else None

    def usage(self) -> Usage:
        return self._usage()

    def reconcile(self, found: Iterable[Found]) -> int:
        """Make the ledger agree with the folder after a start, and say how many rows were wrong.

        Files without a row are whole entries whose row a crash prevented: they are taken in as the oldest ones, by
        time of writing. Rows without a file, or of another size, go. No fill survives a start: promises go too.
        """
        files = {item.key: item for item in found}
        with self._write():
            self._db.execute("DELETE FROM reservations")
            self._db.execute("UPDATE entries SET evicting = 0")
            known = dict(self._db.execute("SELECT key, size_bytes FROM entries"))
            gone = [key for key, size in known.items() if key not in files or files[key].size_bytes != size]
            self._db.executemany("DELETE FROM entries WHERE key = ?", [(key,) for key in gone])
            new = [item for item in files.values() if item.key not in known or item.key in gone]
            for item in sorted(new, key=lambda item: item.modified_s, reverse=True):
                self._insert(item.key, item.size_bytes, None, item.modified_s, oldest=True)
        return len(gone) + len(new)

    def _insert(self, key: str, size_bytes: int, digest: Digest | None, at_s: float, *, oldest: bool = False) -> None:
        order = "(SELECT coalesce(min(used), 0) - 1 FROM entries)" if oldest else _NEXT_USE
        self._db.execute(
            "INSERT OR REPLACE INTO entries"
            " (key, size_bytes, charge_bytes, digest_algorithm, digest_value, used, used_at_s, created_at_s)"
            f" VALUES (?, ?, ?, ?, ?, {order}, ?, ?)",
            (
                key,
                size_bytes,
                charge_bytes(size_bytes),
                digest.algorithm if digest else None,
                digest.value if digest else None,
                at_s,
                at_s,
            ),
        )

    def _usage(self) -> Usage:
        entries, committed = self._db.execute(
            "SELECT count(*), coalesce(sum(charge_bytes), 0) FROM entries",
        ).fetchone()
        (reserved,) = self._db.execute("SELECT coalesce(sum(charge_bytes), 0) FROM reservations").fetchone()
        return Usage(entries=entries, committed_bytes=committed, reserved_bytes=reserved)

    def _evicting_bytes(self) -> int:
        (evicting,) = self._db.execute("SELECT coalesce(sum(charge_bytes), 0) FROM entries WHERE evicting").fetchone()
        assert isinstance(evicting, int)
        return evicting

    def _write(self) -> AbstractContextManager[None]:
        return _Transaction(self._db)


class _Transaction(AbstractContextManager[None]):
    """BEGIN IMMEDIATE takes the write lock at once, so that what is read inside stays true until the commit."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._db.execute("ROLLBACK" if kind else "COMMIT")


def _entry(
    key: str,
    size_bytes: int,
    algorithm: str | None,
    value: str | None,
    hits: int,
    used_at_s: float,
    created_at_s: float,
    pinned: int,
) -> Entry:
    return Entry(
        key=key,
        size_bytes=size_bytes,
        digest=Digest(algorithm, value) if algorithm and value else None,
        hits=hits,
        used_at_s=used_at_s,
        created_at_s=created_at_s,
        pinned=bool(pinned),
    )
