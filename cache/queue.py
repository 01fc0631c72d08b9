"""What is to be brought into the cache, asked of all workers together: the table `queue` of index.db.

queued ──take──▶ running ──finish──▶ done | failed
   ▲─────────────────┘ its worker died, or let go

A worker that takes a row holds it by a lease, which it renews: one that hangs loses it. The rows of a worker that is
dead are free at once (cache/presence.py). So work goes on in another worker, or in the next run of Glint. Leases are
times of the system's monotonic clock, which all processes share and no setting of the time disturbs.

A connection lives for one call only: the index may be replaced while Glint runs. Everything here blocks.
"""

import sqlite3
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from cache.disk import Folder
from cache.presence import Presence

LEASE_S = 6.0
FAILED_MAX = 1_000
DONE_MAX = 100_000
_BUSY_S = 10.0
_ERROR_MAX = 1_000  # characters

_SCHEMA = """
CREATE TABLE IF NOT EXISTS queue (
    number        INTEGER PRIMARY KEY AUTOINCREMENT,
    key           TEXT NOT NULL UNIQUE,
    state         TEXT NOT NULL,
    owner         INTEGER,
    lease_until_s REAL,
    error         TEXT,
    proof         TEXT,
    entry_at_s    REAL
) STRICT;
CREATE INDEX IF NOT EXISTS queue_by_state ON queue (state, number);
CREATE TABLE IF NOT EXISTS refetches (key TEXT PRIMARY KEY) STRICT;
"""


class Stage(StrEnum):
    """What became of a request. `FAILED` and `DONE` are kept to be told, a bounded number of them."""

    QUEUED = "queued"
    RUNNING = "running"
    FAILED = "failed"
    DONE = "done"

    @property
    def is_open(self) -> bool:
        return self in (Stage.QUEUED, Stage.RUNNING)


class Proof(StrEnum):
    """What is known of an entry's digest. `UNVERIFIED`: nobody asked for its bytes to be compared since it was made.

    `NONE`: nothing is registered that they could be compared with.
    """

    VERIFIED = "verified"
    UNVERIFIED = "unverified"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One row. `proof` and `error` tell of the entry whose file was written at `entry_at_s`, and of no later one.

    An `error` without that time tells why there is none.
    """

    key: str
    stage: Stage
    error: str | None
    proof: Proof
    entry_at_s: float | None


@dataclass(frozen=True, slots=True)
class Job:
    """A row that this worker works on. The number tells it from every other request, also for the same key.

    `is_refetch`: nobody asked for it, it was found damaged or half filled.
    """

    key: str
    number: int
    is_refetch: bool = field(default=False, compare=False)


class Queue:
    """The queue of one cache folder as one worker sees it. Raises sqlite3.Error."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._presence_path = Folder(folder), folder / "queue.lock"
        self._path = self._folder.index_path
        self._opened: Presence | None = None

    def open(self) -> None:
        """Be known as a worker, which taking the first row does as well; who is closes it then. Raises OSError."""
        if self._opened is None:
            self._opened = Presence(self._presence_path)

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()

    @property
    def _presence(self) -> Presence:
        self.open()
        assert self._opened is not None
        return self._opened

    def ask(self, keys: Iterable[str], *, is_refetch: bool = False) -> None:
        """Put these at the end. What is queued or worked on stays as it is, what has ended begins anew.

        But for a refetch of what has an entry: somebody else has brought it in since it was seen to be lost.
        """
        with self._write() as db:  # without which an entry and its row could come in between
            rows = [(key,) for key in keys if not (is_refetch and self._folder.has_entry(key))]
            if is_refetch:
                waits = "SELECT 1 FROM queue WHERE key = :key AND state IN ('queued', 'running')"
                db.executemany(
                    f"INSERT OR IGNORE INTO refetches (key) SELECT :key WHERE NOT EXISTS ({waits})",
                    [{"key": key} for (key,) in rows],
                )
            else:
                db.executemany("DELETE FROM refetches WHERE key = ?", rows)
            db.executemany("DELETE FROM queue WHERE key = ? AND state IN ('failed', 'done')", rows)
            db.executemany("INSERT OR IGNORE INTO queue (key, state) VALUES (?, 'queued')", rows)

    def drop(self, key: str) -> bool:
        """Forget all about `key`, and say whether it was queued or worked on."""
        with self._write() as db:
            row = db.execute("DELETE FROM queue WHERE key = ? RETURNING state", (key,)).fetchone()
            _forget_refetches(db)
        return row is not None and Stage(row[0]).is_open

    def clear(self) -> None:
        """Forget all that is queued or worked on."""
        with self._write() as db:
            db.execute("DELETE FROM queue WHERE state IN ('queued', 'running')")
            _forget_refetches(db)

    def take(self, among: Collection[str] | None = None) -> Job | None:
        """The row that waits longest and that nobody works on; it is this worker's for `LEASE_S`. None: there is none.

        With `among`, only a row of one of these keys.
        Looks before it takes, so that idle workers never hold the write lock.
        """
        with self._connected() as db:
            if self._first_free(db, among) is None:
                return None
            with _transaction(db):
                job = self._first_free(db, among)
                if job is not None:
                    lost = db.execute("SELECT 1 FROM refetches WHERE key = ?", (job.key,)).fetchone()
                    job = replace(job, is_refetch=lost is not None)
                    db.execute(
                        "UPDATE queue SET state = 'running', owner = ?, lease_until_s = ? WHERE number = ?",
                        (self._presence.name, time.monotonic() + LEASE_S, job.number),
                    )
        return job

    def renew(self, jobs: Iterable[Job]) -> set[Job]:
        """Prolong the leases of these, and name those that are still this worker's."""
        until_s = time.monotonic() + LEASE_S
        with self._write() as db:
            return {
                job
                for job in jobs
                if db.execute(
                    "UPDATE queue SET lease_until_s = ? WHERE number = ? AND owner = ?",
                    (until_s, job.number, self._presence.name),
                ).rowcount
            }

    def release(self) -> None:
        """Put this worker's rows back: whoever comes next takes them at once."""
        if self._opened is None:
            return
        with self._write() as db:
            db.execute(
                "UPDATE queue SET state = 'queued', owner = NULL, lease_until_s = NULL"
                " WHERE state = 'running' AND owner = ?",
                (self._presence.name,),
            )

    def finish(self, job: Job, proof: Proof, entry_at_s: float | None) -> None:
        """The entry is there. Does nothing if the row is no longer this worker's; so do the next two."""
        self._end(job, Stage.DONE, DONE_MAX, {"proof": proof, "entry_at_s": entry_at_s})

    def fail(self, job: Job, error: str, entry_at_s: float | None) -> None:
        storable = error[:_ERROR_MAX].encode(errors="replace").decode()  # a file's name in it may be no text
        self._end(job, Stage.FAILED, FAILED_MAX, {"error": storable, "entry_at_s": entry_at_s})

    def forget(self, job: Job) -> None:
        """There is nothing to bring in any more."""
        with self._write() as db:
            db.execute("DELETE FROM queue WHERE number = ? AND owner = ?", (job.number, self._presence.name))
            _forget_refetches(db)

    def get(self, key: str) -> Asked | None:
        with self._connected() as db:
            row = db.execute("SELECT key, state, error, proof, entry_at_s FROM queue WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        return Asked(
            key=row[0],
            stage=Stage(row[1]),
            error=row[2],
            proof=Proof(row[3]) if row[3] else Proof.UNVERIFIED,
            entry_at_s=row[4],
        )

    def asked(self) -> list[str]:
        """The keys that are queued or worked on, in the order in which they were asked for."""
        with self._connected() as db:
            rows = db.execute("SELECT key FROM queue WHERE state IN ('queued', 'running') ORDER BY number").fetchall()
        return [key for (key,) in rows]

    def _end(self, job: Job, stage: Stage, kept_max: int, result: Mapping[str, object]) -> None:
        """Of the rows that ended so, only the latest `kept_max` stay."""
        with self._write() as db:
            db.execute(
                "UPDATE queue SET state = :state, error = :error, proof = :proof, entry_at_s = :entry_at_s,"
                " owner = NULL, lease_until_s = NULL"
                " WHERE number = :number AND owner = :owner",
                {"error": None, "proof": None, "entry_at_s": None}
                | dict(result)
                | {"state": stage, "number": job.number, "owner": self._presence.name},
            )
            db.execute(
                "DELETE FROM queue WHERE state = :state AND number <="
                " (SELECT number FROM queue WHERE state = :state ORDER BY number DESC LIMIT 1 OFFSET :kept)",
                {"state": stage, "kept": kept_max},
            )
            _forget_refetches(db)

    def _first_free(self, db: sqlite3.Connection, among: Collection[str] | None) -> Job | None:
        limit = "LIMIT 1" if among is None else ""
        waits = db.execute(f"SELECT key, number FROM queue WHERE state = 'queued' ORDER BY number {limit}").fetchall()
        held = db.execute("SELECT key, number, owner, lease_until_s FROM queue WHERE state = 'running'").fetchall()
        now_s = time.monotonic()
        free = [Job(key, number) for key, number in waits]
        free += [
            Job(key, number)
            for key, number, owner, lease_until_s in held
            if lease_until_s < now_s or not self._presence.lives(owner)
        ]
        if among is not None:
            free = [job for job in free if job.key in among]
        return min(free, key=lambda job: job.number, default=None)

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, timeout=_BUSY_S, isolation_level=None)) as db:
            db.execute("PRAGMA synchronous = NORMAL")  # a power cut may undo the last request; nothing else
            db.executescript(_SCHEMA)
            yield db

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        with self._connected() as db, _transaction(db):
            yield db


def _forget_refetches(db: sqlite3.Connection) -> None:
    """Of what is not queued or worked on any more."""
    db.execute("DELETE FROM refetches WHERE key NOT IN (SELECT key FROM queue WHERE state IN ('queued', 'running'))")


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    """BEGIN IMMEDIATE takes the write lock at once, so that what is read inside stays true until the commit."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")
