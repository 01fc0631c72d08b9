"""Who was used when, and how much is promised. One short SQLite transaction each.

The folder says what is there; this says who is oldest. A lost row costs recency, never correctness: `settle` makes the
two agree. Order of use is a counter, not a time, so no clock can disturb it. Several processes share the file. All of
it blocks and belongs into the index's own thread.
"""

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from cache.disk import Found, charge_bytes
from cache.lru import Candidate
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
    pinned           INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX IF NOT EXISTS entries_by_use ON entries (used);
CREATE TABLE IF NOT EXISTS promises (
    name             TEXT PRIMARY KEY,
    key              TEXT NOT NULL,
    size_bytes       INTEGER NOT NULL,
    charge_bytes     INTEGER NOT NULL,
    digest_algorithm TEXT,
    digest_value     TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS totals (
    one        INTEGER PRIMARY KEY CHECK (one = 1),
    entries    INTEGER NOT NULL,
    used_bytes INTEGER NOT NULL
) STRICT;
INSERT OR IGNORE INTO totals SELECT 1, count(*), coalesce(sum(charge_bytes), 0) FROM entries;
CREATE TRIGGER IF NOT EXISTS entry_added AFTER INSERT ON entries BEGIN
    UPDATE totals SET entries = entries + 1, used_bytes = used_bytes + new.charge_bytes;
END;
CREATE TRIGGER IF NOT EXISTS entry_removed AFTER DELETE ON entries BEGIN
    UPDATE totals SET entries = entries - 1, used_bytes = used_bytes - old.charge_bytes;
END;
"""
_SELECT = "SELECT key, size_bytes, digest_algorithm, digest_value, hits, used_at_s, created_at_s, pinned FROM entries"
_NEXT_USE = "(SELECT coalesce(max(used), 0) + 1 FROM entries)"
_BUSY_S = 5.0


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
    """Bytes charged against the limit, and how many entries there are.

    `leaving_bytes` lie in files that are out of use and still read, `quarantined_bytes` in damaged ones.
    """

    entries: int
    committed_bytes: int
    reserved_bytes: int
    leaving_bytes: int = 0
    quarantined_bytes: int = 0

    @property
    def charged_bytes(self) -> int:
        return self.committed_bytes + self.reserved_bytes + self.leaving_bytes + self.quarantined_bytes


class Index:
    """One connection to index.db. Other processes hold theirs: WAL and a busy time-out see to that."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            self._inode = path.stat().st_ino
            self._db.execute("PRAGMA journal_mode = WAL")
            # A power cut may lose the last touches; it cannot damage the file, and `settle` repairs what is missing.
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        self._db.close()

    @property
    def is_current(self) -> bool:
        """False once another process has put a new file in the place of this one, which was damaged."""
        try:
            return self.path.stat().st_ino == self._inode
        except FileNotFoundError:
            return False

    def promise(self, name: str, blob: Blob, limit_bytes: int, aside_bytes: Callable[[], int]) -> bool:
        """Promise room to a fill, by the name of its file; whether there was room.

        One that was promised already keeps its row: the fill goes on in other hands. `aside_bytes` are counted besides
        the rows, and looked at while no row can change: what another process takes out of use is in one or the other.
        """
        assert blob.size_bytes is not None
        charge = charge_bytes(blob.size_bytes)
        with self._write():
            if self._db.execute("SELECT 1 FROM promises WHERE name = ?", (name,)).fetchone():
                return True
            if self._charged() + aside_bytes() + charge > limit_bytes:
                return False
            digest = (blob.digest.algorithm, blob.digest.value) if blob.digest else (None, None)
            self._db.execute(
                "INSERT INTO promises VALUES (?, ?, ?, ?, ?, ?)", (name, blob.key, blob.size_bytes, charge, *digest)
            )
            return True

    def release(self, name: str, has_fill: Callable[[str], bool]) -> None:
        """Give back a promise whose fill came to nothing.

        While there is such a file, it stays: another process may have begun anew, and was promised the room already.
        """
        with self._write():
            if not has_fill(name):
                self._release(name)

    def commit(self, name: str, blob: Blob, entry: Callable[[str], Found | None]) -> None:
        """Turn a promise into an entry, the most recently used one; into nothing if it has been removed again."""
        assert blob.size_bytes is not None
        with self._write():
            self._release(name)
            if entry(blob.key) is not None:
                self._insert(blob.key, blob.size_bytes, blob.digest, time.time())

    def candidates(self, young_since_s: float) -> Iterator[Candidate]:
        """Every entry, in the order in which they have to go: by use, those created since then after all others."""
        young = (young_since_s, time.time())  # a creation in the future is a clock that was set back: not young
        for is_young in (False, True):
            rows = self._db.execute(
                "SELECT key, charge_bytes, pinned, used_at_s FROM entries"
                f" WHERE {'' if is_young else 'NOT'} (created_at_s > ? AND created_at_s <= ?) ORDER BY used",
                young,
            )
            for key, charge, pinned, used_at_s in rows:
                yield Candidate(key, charge, pinned=bool(pinned), is_young=is_young, used_at_s=used_at_s)

    def forget(self, key: str, has_entry: Callable[[str], bool]) -> None:
        """Drop the row of an entry whose file is gone, unless another process has published it again meanwhile."""
        with self._write():
            if not has_entry(key):
                self._db.execute("DELETE FROM entries WHERE key = ?", (key,))

    def touch(self, hits: Mapping[str, int]) -> None:
        """Note uses, in the mapping's order: its last key becomes the most recent."""
        with self._write():
            self._db.executemany(
                f"UPDATE entries SET used = {_NEXT_USE}, used_at_s = ?, hits = hits + ? WHERE key = ?",
                [(time.time(), count, key) for key, count in hits.items()],
            )

    def pin(self, key: str, *, pinned: bool) -> bool:
        """Whether there is such an entry."""
        return self._db.execute("UPDATE entries SET pinned = ? WHERE key = ?", (pinned, key)).rowcount > 0

    def entries(self) -> list[Entry]:
        """All entries, the most recently used first."""
        return [_entry(*row) for row in self._db.execute(f"{_SELECT} ORDER BY used DESC")]

    def entry(self, key: str) -> Entry | None:
        row = self._db.execute(f"{_SELECT} WHERE key = ?", (key,)).fetchone()
        return _entry(*row) if row else None

    def usage(self) -> Usage:
        entries, committed = self._db.execute("SELECT entries, used_bytes FROM totals").fetchone()
        (reserved,) = self._db.execute("SELECT coalesce(sum(charge_bytes), 0) FROM promises").fetchone()
        return Usage(entries=entries, committed_bytes=committed, reserved_bytes=reserved)

    def settle(self, found: Iterable[Found], again: Callable[[str], Found | None]) -> int:
        """Make the index agree with the folder, and say how many rows were wrong. May run beside other processes.

        Files without a row are whole entries whose row a crash prevented: they are taken in as the oldest ones, by
        time of writing. Rows without a file, or of another size, go. What seems wrong is looked at `again` under the
        write lock: another process may have published or removed it since the folder was read.
        """
        files = {item.key: item for item in found}
        with self._write():
            known = dict(self._db.execute("SELECT key, size_bytes FROM entries"))
            suspects = {key for key, size in known.items() if key not in files or files[key].size_bytes != size}
            new: list[Found] = []
            wrong = 0
            for key in suspects | (files.keys() - known.keys()):
                file = again(key)
                if file is not None and file.size_bytes == known.get(key):
                    continue
                wrong += 1
                self._db.execute("DELETE FROM entries WHERE key = ?", (key,))
                new += [file] if file is not None else []
            for file in sorted(new, key=lambda item: item.modified_s, reverse=True):
                self._insert(file.key, file.size_bytes, None, file.modified_s, oldest=True)
        return wrong

    def lost_promises(self, has_fill: Callable[[str], bool], entry: Callable[[str], Found | None]) -> int:
        """Repair what a process left that died between two steps; how many promises. May run beside others.

        A promise without a file was either published, then the entry gets its row, or came to nothing.
        """
        rows = self._db.execute("SELECT name, key, size_bytes, digest_algorithm, digest_value FROM promises").fetchall()
        lost = [row for row in rows if not has_fill(row[0])]
        for name, key, size_bytes, algorithm, value in lost:
            with self._write():
                if has_fill(name):  # begun anew since
                    continue
                file = entry(key)
                self._release(name)
                if file is not None and file.size_bytes == size_bytes and self.entry(key) is None:
                    digest = Digest(algorithm, value) if algorithm and value else None
                    self._insert(key, size_bytes, digest, time.time())
        return len(lost)

    def _release(self, name: str) -> None:
        self._db.execute("DELETE FROM promises WHERE name = ?", (name,))

    def _insert(self, key: str, size_bytes: int, digest: Digest | None, at_s: float, *, oldest: bool = False) -> None:
        order = "(SELECT coalesce(min(used), 0) - 1 FROM entries)" if oldest else _NEXT_USE
        self._db.execute("DELETE FROM entries WHERE key = ?", (key,))  # a REPLACE would not run the trigger
        self._db.execute(
            "INSERT INTO entries"
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

    def _charged(self) -> int:
        usage = self.usage()
        return usage.committed_bytes + usage.reserved_bytes

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
