"""Who was used when, and how much is promised. One short SQLite transaction each.

The folder says what is there; this says who is oldest. A lost row costs recency, never correctness: `settle` makes the
two agree. Order of use is a counter, not a time, so no clock can disturb it. Several processes share the file. All of
it blocks and belongs into the index's own thread.

Who goes first is said by a `Policy` (cache/policies.py), whose segments are a column here. `used` is when an entry was
last used; `place` is its rank in its segment, and newer than that if it has fallen back from the next one.
"""

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from heapq import merge
from itertools import islice
from pathlib import Path

from cache.disk import Found, Shard, charge_bytes
from cache.index_file import PINNED, IndexFile
from cache.lru import Candidate
from cache.policies import SEGMENTS_MAX, Policy
from cache.rows import COLUMNS, Entry, Usage, entry_of
from cache.types import Blob, Digest

_SELECT = f"SELECT {COLUMNS} FROM entries"
_INSERT = (
    "INSERT INTO entries"
    " (key, size_bytes, charge_bytes, digest_algorithm, digest_value, place, used, used_at_s, created_at_s)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_SETTLED_AT_ONCE = 500  # rows: some 15 ms, in which nobody else can write
_SETTLE_PAUSE = 0.15  # of that time


class Index(IndexFile):
    """The rows of index.db. `clock` tells the time of day in seconds."""

    def __init__(self, path: Path | None, *, clock: Callable[[], float] | None = None) -> None:
        super().__init__(path)
        self._clock = clock or time.time

    def is_promised(self, name: str) -> bool:
        """Whether the fill whose file is `name` has its promise; the file must be there, or it may just be given back.

        Under the write lock: another process may be about to give it back, having looked before the file was there.
        """
        with self._write():
            return self._is_promised(name)

    def promised(self) -> set[str]:
        """The names of all fills that have a promise."""
        return {name for (name,) in self._db.execute("SELECT name FROM promises")}

    def promise(self, name: str, blob: Blob, limit_bytes: int, aside_bytes: Callable[[], int]) -> bool:
        """Promise room to a fill, by the name of its file; whether there was room.

        One that was promised already keeps its row: the fill goes on in other hands, or began anew under its name while
        what there was before is still aside. So for both the whole is counted. `aside_bytes` are counted besides the
        rows, and looked at while no row can change: what another process takes out of use is in one or the other.
        """
        assert blob.size_bytes is not None
        charge = charge_bytes(blob.size_bytes)
        with self._write():
            is_promised = self._is_promised(name)
            if self._charged() + aside_bytes() + (0 if is_promised else charge) > limit_bytes:
                return False
            if is_promised:
                return True
            row = (name, blob.key, blob.size_bytes, charge, *_digest_columns(blob.digest))
            self._db.execute("INSERT INTO promises VALUES (?, ?, ?, ?, ?, ?)", row)
            return True

    def release(self, name: str, has_fill: Callable[[str], bool], entry: Callable[[str], Found | None]) -> None:
        """Give back a promise whose fill is over. If its file became an entry all the same, that gets its row.

        While there is such a file, it stays: another process may have begun anew, and was promised the room already.
        """
        with self._write():
            self._release_ended(name, has_fill, entry)

    def commit(
        self, name: str, blob: Blob, has_fill: Callable[[str], bool], entry: Callable[[str], Found | None]
    ) -> None:
        """Turn a promise into an entry, the most recently used one; into nothing if it has been removed again.

        While there is such a file, the promise is another one's: see `release`. Who found the entry before gave the
        promise back, and its row stays: it may have been pinned since, and its digest proved.
        """
        assert blob.size_bytes is not None
        with self._write():
            is_others = has_fill(name)
            is_noted = is_others or not self._is_promised(name)
            if not is_others:
                self._release(name)
            if entry(blob.key) is None:
                return
            noted = self.entry(blob.key) if is_noted else None
            if noted is not None and noted.size_bytes == blob.size_bytes:
                self._complete(blob.key, blob.digest)
            else:
                self._insert(blob.key, blob.size_bytes, blob.digest, self._clock())

    def candidates(self, young_since_s: float) -> Iterator[Candidate]:
        """Every entry, in the order in which they have to go: segment by segment, each by use.

        Within a segment those created since then go after all others, so that a new image has its time to be asked
        for again. But they go before the next segment: a sweep over many images makes new ones without end, and what
        was used again must outlast it. A policy leaves the first segment a part of the space; new images within that
        part keep their time, whatever else goes on.
        """
        young = (young_since_s, self._clock())  # a creation in the future is a clock that was set back: not young
        for segment in range(SEGMENTS_MAX):
            for is_young in (False, True):
                rows = self._db.execute(
                    "SELECT key, charge_bytes, pinned, used_at_s FROM entries"
                    f" WHERE segment = ? AND {'' if is_young else 'NOT'} (created_at_s > ? AND created_at_s <= ?)"
                    " ORDER BY place",
                    (segment, *young),
                )
                for key, charge, pinned, used_at_s in rows:
                    yield Candidate(key, charge, pinned=bool(pinned), is_young=is_young, used_at_s=used_at_s)

    def forget(self, key: str, has_entry: Callable[[str], bool]) -> None:
        """Drop the row of an entry whose file is gone, unless another process has published it again meanwhile."""
        with self._write():
            if not has_entry(key):
                self._db.execute("DELETE FROM entries WHERE key = ?", (key,))

    def touch(self, hits: Mapping[str, int], policy: Policy, limit_bytes: int) -> None:
        """Note uses, in the mapping's order: its last key becomes the most recent. What is no entry is left out."""
        with self._write():
            space_bytes = self._space_bytes(limit_bytes)
            for key, count in hits.items():
                row = self._db.execute("SELECT segment, charge_bytes FROM entries WHERE key = ?", (key,)).fetchone()
                if row is None:
                    continue
                segment = policy.after_hits(row[0], count, charge_bytes=row[1], space_bytes=space_bytes)
                use = self._next_use()
                self._db.execute(
                    "UPDATE entries SET segment = ?, place = ?, used = ?, used_at_s = ?, hits = hits + ? WHERE key = ?",
                    (segment, use, use, self._clock(), count, key),
                )
            self._fit(policy, space_bytes)

    def fit(self, policy: Policy, limit_bytes: int) -> None:
        """Let what a segment holds beyond its part fall back: after the policy, the limit or a pin was changed.

        That may be all there is. Other processes can write in between.
        """
        while True:
            began_s = time.monotonic()
            with self._write():
                if self._fit(policy, self._space_bytes(limit_bytes), rows_max=_SETTLED_AT_ONCE):
                    return
            time.sleep(_SETTLE_PAUSE * (time.monotonic() - began_s))

    def pin(self, key: str, *, pinned: bool) -> bool:
        """Whether there is such an entry."""
        return self._db.execute("UPDATE entries SET pinned = ? WHERE key = ?", (pinned, key)).rowcount > 0

    def entries(self) -> list[Entry]:
        """All entries, the most recently used first."""
        return [entry_of(*row) for row in self._db.execute(f"{_SELECT} ORDER BY used DESC")]

    def entry(self, key: str) -> Entry | None:
        row = self._db.execute(f"{_SELECT} WHERE key = ?", (key,)).fetchone()
        return entry_of(*row) if row else None

    def usage(self) -> Usage:
        entries, committed = self._db.execute("SELECT entries, used_bytes FROM totals").fetchone()
        (reserved,) = self._db.execute("SELECT coalesce(sum(charge_bytes), 0) FROM promises").fetchone()
        return Usage(entries=entries, committed_bytes=committed, reserved_bytes=reserved)

    def suspects(self, shards: Iterable[Shard]) -> list[list[tuple[float, str]]]:
        """What seems to differ between index and folder, by shard: times of writing and keys, the newest first.

        Little of each, and in memory shard by shard: there may be a million entries, and all may have lost their rows.
        """
        found, seen = [], set()
        for shard in shards:
            known = self._sizes(shard.prefix)
            differ = [
                (modified_s, key)
                for key, (size_bytes, modified_s) in shard.files.items()
                if known.pop(key, None) != size_bytes
            ]
            found.append(sorted([*differ, *((0.0, key) for key in known)], reverse=True))
            seen.add(shard.prefix)
        prefixes = {prefix for (prefix,) in self._db.execute("SELECT DISTINCT substr(key, 1, 2) FROM entries")}
        found += [[(0.0, key) for key in self._sizes(prefix)] for prefix in prefixes - seen]
        return list(filter(None, found))

    def settle(
        self,
        suspects: Iterable[Sequence[tuple[float, str]]],
        again: Callable[[str], Found | None],
        has_fill: Callable[[str], bool],
    ) -> int:
        """Make the index agree with the folder, and say how many rows were wrong. May run beside other processes.

        Files without a row are whole entries whose row a crash prevented: they are taken in as the oldest ones, by
        time of writing. Rows without a file, or of another size, go. What seems wrong is looked at `again` under the
        write lock: another process may have published or removed it since the folder was read. What was published and
        not yet written down gives back its promise with that: no moment counts it twice.
        """
        keys = (key for _, key in merge(*suspects, reverse=True))  # no long sort, in which no other thread can run
        wrong = 0
        while some := list(islice(keys, _SETTLED_AT_ONCE)):
            began_s = time.monotonic()
            with self._write():
                wrong += self._settle_some(some, again, has_fill)
            # The lock is not fair: other processes want room, and to start.
            time.sleep(_SETTLE_PAUSE * (time.monotonic() - began_s))
        return wrong

    def _settle_some(
        self, keys: Sequence[str], again: Callable[[str], Found | None], has_fill: Callable[[str], bool]
    ) -> int:
        """How many rows were wrong."""
        for name, key in self._db.execute("SELECT name, key FROM promises").fetchall():
            if key in keys:
                self._release_ended(name, has_fill, again)
        wrong, use = 0, self._use_before_all()
        rows: list[tuple[object, ...]] = []
        for key in keys:
            file = again(key)
            row = self._db.execute("SELECT size_bytes FROM entries WHERE key = ?", (key,)).fetchone()
            if (row[0] if row else None) == (file.size_bytes if file else None):
                continue
            wrong += 1
            if row:
                self._db.execute("DELETE FROM entries WHERE key = ?", (key,))
            if file:
                rows.append(_row(key, file.size_bytes, None, file.modified_s, use - len(rows)))
        self._db.executemany(_INSERT, rows)
        return wrong

    def _sizes(self, prefix: str) -> dict[str, int]:
        """Of all entries whose keys begin so."""
        behind = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        return dict(
            self._db.execute("SELECT key, size_bytes FROM entries WHERE key >= ? AND key < ?", (prefix, behind))
        )

    def lost_promises(self, has_fill: Callable[[str], bool], entry: Callable[[str], Found | None]) -> int:
        """Repair what a process left that died between two steps; how many promises. May run beside others.

        A promise without a file was either published, then the entry gets its row, or came to nothing.
        """
        names = [name for (name,) in self._db.execute("SELECT name FROM promises")]
        lost = [name for name in names if not has_fill(name)]
        for name in lost:
            self.release(name, has_fill, entry)
        return len(lost)

    def _is_promised(self, name: str) -> bool:
        return self._db.execute("SELECT 1 FROM promises WHERE name = ?", (name,)).fetchone() is not None

    def _release_ended(self, name: str, has_fill: Callable[[str], bool], entry: Callable[[str], Found | None]) -> None:
        """As `release`, in a transaction of the caller's."""
        row = self._db.execute(
            "SELECT key, size_bytes, digest_algorithm, digest_value FROM promises WHERE name = ?", (name,)
        ).fetchone()
        if row is None or has_fill(name):
            return
        key, size_bytes, algorithm, value = row
        file = entry(key)
        self._release(name)
        if file is not None and file.size_bytes == size_bytes and self.entry(key) is None:
            digest = Digest(algorithm, value) if algorithm and value else None
            self._insert(key, size_bytes, digest, self._clock())

    def _release(self, name: str) -> None:
        self._db.execute("DELETE FROM promises WHERE name = ?", (name,))

    def _insert(self, key: str, size_bytes: int, digest: Digest | None, at_s: float) -> None:
        """Another process may have written it down already, and it may have been pinned since."""
        # A REPLACE would not run the trigger.
        replaced = self._db.execute("DELETE FROM entries WHERE key = ? RETURNING pinned", (key,)).fetchone()
        self._db.execute(_INSERT, _row(key, size_bytes, digest, at_s, self._next_use()))
        if replaced and replaced[0]:
            self.pin(key, pinned=True)

    def _complete(self, key: str, digest: Digest | None) -> None:
        """Of a row that was made without knowing when its entry was."""
        use = self._next_use()
        self._db.execute(
            "UPDATE entries SET digest_algorithm = ?, digest_value = ?, place = ?, used = ? WHERE key = ?",
            (*_digest_columns(digest), use, use, key),
        )

    def _next_use(self) -> int:
        use: int
        (use,) = self._db.execute("UPDATE totals SET uses = uses + 1 RETURNING uses").fetchone()
        return use

    def _use_before_all(self) -> int:
        use: int
        (use,) = self._db.execute("SELECT coalesce(min(used), 1) - 1 FROM entries").fetchone()
        return use  # no place is before its entry's last use

    def _space_bytes(self, limit_bytes: int) -> int:
        return limit_bytes - self._segment_bytes(PINNED)

    def _segment_bytes(self, segment: int) -> int:
        size_bytes: int
        (size_bytes,) = self._db.execute("SELECT charge_bytes FROM segments WHERE segment = ?", (segment,)).fetchone()
        return size_bytes

    def _fit(self, policy: Policy, space_bytes: int, rows_max: int = -1) -> bool:
        """Whether all fits when that many have fallen back, as many as need be if there is no limit."""
        for segment in range(SEGMENTS_MAX - 1, 0, -1):
            while self._segment_bytes(segment) > policy.part_bytes(segment, space_bytes):
                if rows_max == 0:
                    return False
                rows_max -= 1
                moved = self._db.execute(
                    "UPDATE entries SET segment = segment - 1, place = ? WHERE key ="
                    " (SELECT key FROM entries WHERE segment = ? AND NOT pinned ORDER BY place LIMIT 1)",
                    (self._next_use(), segment),
                )
                if not moved.rowcount:
                    raise sqlite3.DatabaseError("the sums of the segments do not agree with the entries")
        return True

    def _charged(self) -> int:
        usage = self.usage()
        return usage.committed_bytes + usage.reserved_bytes


def _row(key: str, size_bytes: int, digest: Digest | None, at_s: float, use: int) -> tuple[object, ...]:
    """As `_INSERT` wants it."""
    return key, size_bytes, charge_bytes(size_bytes), *_digest_columns(digest), use, use, at_s, at_s


def _digest_columns(digest: Digest | None) -> tuple[str | None, str | None]:
    return (digest.algorithm, digest.value) if digest else (None, None)
