"""index.db itself: its tables, how it is opened beside other processes, and its transactions. All of it blocks."""

import re
import sqlite3
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from cache.policies import SEGMENTS_MAX

PINNED = -1  # stands for a segment of its own in the totals: no policy has its bytes at its disposal
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS entries (
    key              TEXT PRIMARY KEY,
    size_bytes       INTEGER NOT NULL,
    charge_bytes     INTEGER NOT NULL,
    digest_algorithm TEXT,
    digest_value     TEXT,
    segment          INTEGER NOT NULL DEFAULT 0,
    place            INTEGER NOT NULL,
    used             INTEGER NOT NULL,
    used_at_s        REAL NOT NULL,
    created_at_s     REAL NOT NULL,
    hits             INTEGER NOT NULL DEFAULT 0,
    pinned           INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX IF NOT EXISTS entries_by_use ON entries (used);
CREATE INDEX IF NOT EXISTS entries_by_place ON entries (segment, place, created_at_s);
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
    used_bytes INTEGER NOT NULL,
    uses       INTEGER NOT NULL
) STRICT;
INSERT OR IGNORE INTO totals VALUES (1, 0, 0, 0);
CREATE TABLE IF NOT EXISTS segments (
    segment      INTEGER PRIMARY KEY,
    charge_bytes INTEGER NOT NULL
) STRICT;
INSERT OR IGNORE INTO segments VALUES {", ".join(f"({number}, 0)" for number in range(PINNED, SEGMENTS_MAX))};
CREATE TRIGGER IF NOT EXISTS entry_added AFTER INSERT ON entries BEGIN
    UPDATE totals SET entries = entries + 1, used_bytes = used_bytes + new.charge_bytes;
    UPDATE segments SET charge_bytes = charge_bytes + new.charge_bytes WHERE segment = new.segment;
END;
CREATE TRIGGER IF NOT EXISTS entry_removed AFTER DELETE ON entries BEGIN
    UPDATE totals SET entries = entries - 1, used_bytes = used_bytes - old.charge_bytes;
    UPDATE segments SET charge_bytes = charge_bytes - old.charge_bytes
        WHERE segment = iif(old.pinned, {PINNED}, old.segment);
END;
CREATE TRIGGER IF NOT EXISTS entry_moved AFTER UPDATE OF segment, pinned ON entries BEGIN
    UPDATE segments SET charge_bytes = charge_bytes - old.charge_bytes
        WHERE segment = iif(old.pinned, {PINNED}, old.segment);
    UPDATE segments SET charge_bytes = charge_bytes + new.charge_bytes
        WHERE segment = iif(new.pinned, {PINNED}, new.segment);
END;
"""
_NAMES = frozenset(re.findall(r"IF NOT EXISTS (\w+)", _SCHEMA))
_BUSY_S = 3.0
_IMPATIENT_S = 0.1
_BUSY_PAUSE_S = 0.01


class OtherSchema(sqlite3.DatabaseError):
    """An index that another version of Glint made. It says nothing that the folder does not, but for the order."""


class IndexFile:
    """One connection to index.db. Other processes hold theirs: WAL and a busy time-out see to that.

    Raises OtherSchema, and whatever else sqlite3 finds wrong with the file. `path` None: in memory, for a replay.
    """

    def __init__(self, path: Path | None) -> None:
        self.path, self._is_patient = path, True
        self.steps = 0  # transactions that were begun: while the number grows, whoever works here is alive
        self._db = sqlite3.connect(path or ":memory:", timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            self._inode = path.stat().st_ino if path else 0
            self._use_wal()
            # A power cut may lose the last touches; it cannot damage the file, and `settle` repairs what is missing.
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._check_schema()
            names = {name for (name,) in self._db.execute("SELECT name FROM sqlite_master")}
            if not names >= _NAMES:  # else nothing to write, so no waiting for who does
                self._db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
        except BaseException:
            self._db.close()
            raise

    def _use_wal(self) -> None:
        """SQLite does not wait by itself where several make this change of a new file at once."""
        deadline_s = time.monotonic() + _BUSY_S
        while True:
            try:
                self._db.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError:
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(_BUSY_PAUSE_S)
            else:
                return

    def _check_schema(self) -> None:
        columns = {row[1] for row in self._db.execute("PRAGMA table_info(entries)")}
        if columns and not columns >= {"segment", "place"}:
            raise OtherSchema("another version of Glint made it")

    def close(self) -> None:
        self._db.close()

    @property
    def is_current(self) -> bool:
        """False once another process has put a new file in the place of this one, which was damaged."""
        try:
            return self.path is None or self.path.stat().st_ino == self._inode
        except FileNotFoundError:
            return False

    def _write(self) -> AbstractContextManager[None]:
        self.steps += 1
        return _Transaction(self._db, self._wait_next_time)

    def _wait_next_time(self, *, long: bool) -> None:
        """Where the lock was waited for in vain, a process hangs with it: not each who comes next waits as long."""
        if long is not self._is_patient:
            self._is_patient = long
            self._db.execute(f"PRAGMA busy_timeout = {round((_BUSY_S if long else _IMPATIENT_S) * 1000)}")


class _Patience(Protocol):
    def __call__(self, *, long: bool) -> None: ...


class _Transaction(AbstractContextManager[None]):
    """BEGIN IMMEDIATE takes the write lock at once, so that what is read inside stays true until the commit."""

    def __init__(self, db: sqlite3.Connection, wait_next_time: _Patience) -> None:
        self._db, self._wait_next_time = db, wait_next_time

    def __enter__(self) -> None:
        try:
            self._db.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            self._wait_next_time(long=False)
            raise
        self._wait_next_time(long=True)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._db.execute("COMMIT")
        finally:
            # Also after a commit that failed: left open, it would keep every other process from writing. Some errors
            # have ended it already.
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
