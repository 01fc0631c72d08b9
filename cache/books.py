"""The index and the folder together: made to agree, and changed one after the other. All of it blocks."""

import errno
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace

import structlog

from cache.demand import Demand
from cache.disk import Folder, Shard
from cache.errors import UnknownFormat
from cache.files import Mark
from cache.index import Index
from cache.policies import POLICIES
from cache.rows import Entry, Usage
from cache.types import Blob, CacheConfig

log = structlog.get_logger(__name__)

_REPAIR_S = 120.0  # a million entries whose rows are lost take a third of it
_REPAIR_POLL_S = 0.1
_ORPHAN_S = 7.0  # looked at every second or so, later on a busy machine: gone within ten


@dataclass(frozen=True, slots=True)
class _Seen:
    """A fill that has not changed since then; `is_told`: and that nobody holds."""

    state: tuple[int, int, int]
    since_s: float
    is_told: bool = False


class Books:
    """What the cache holds and what it has promised. For one thread, which opens it first and closes it."""

    index: Index

    def __init__(self, folder: Folder, config: CacheConfig) -> None:
        self.folder, self.policy = folder, POLICIES[config.policy]
        self._config = config
        self._demand: Demand | None = None
        self._scanned, self._opened_s = 0, 0.0
        self._is_settled = False  # whether this index and the folder were made to agree
        self._seen: dict[str, _Seen] = {}
        self._has_looked = False

    def open(self) -> Demand:
        """Open all that stays open in the folder. What is not for the books lives until `close`, too.

        Raises OSError, sqlite3.Error, UnknownFormat; it may be tried again then.
        """
        self.folder.prepare()
        self._opened_s = time.time()
        # Before the index, which SQLite would open for reading where it cannot be written, and never for writing again.
        demand = Demand(self.folder.root / "demand.lock")
        try:
            self._open_index()
        except BaseException:
            demand.close()
            raise
        self._demand = demand
        return demand

    @property
    def steps(self) -> int:
        """Grows while the one thread works at what takes long, and stands still while the disk keeps it."""
        return self._scanned + self.index.steps

    def close(self) -> None:
        """Whether or not it was opened."""
        if self._demand is not None:
            self.index.close()
            self._demand.close()

    def _open_index(self) -> None:
        try:
            self.index = Index(self.folder.index_path)
        except sqlite3.OperationalError as error:  # locked, or the disk is full: the index itself is well
            self._check_permissions(error)
            raise
        except sqlite3.DatabaseError as error:
            self._replace_index(error)

    def _check_permissions(self, error: sqlite3.Error) -> None:
        """SQLite does not say why a file cannot be opened. Raises PermissionError if we may not."""
        for path in self.folder.root.glob(f"{self.folder.index_path.name}*"):
            if not os.access(path, os.R_OK | os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path)) from error

    def _replace_index(self, error: sqlite3.Error) -> None:
        log.error("index.damaged", error=str(error), reason="a new one is made of what lies in the folder")
        with self.folder.exclusive("index", wait=True):  # another process may have done it meanwhile
            try:
                self.index = Index(self.folder.index_path)
                self.index.usage()
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError:
                self.folder.quarantine_index()
                self.index = Index(self.folder.index_path)

    def mend(self) -> None:
        """Put a new index in the place of this one, unless another process has done so."""
        log.error("index.damaged", reason="a new one is made of what lies in the folder")
        with self.folder.exclusive("index", wait=True):
            was_current = self.index.is_current
            self.index.close()
            if was_current:
                self.folder.quarantine_index()
            self._is_settled = False
            self.index = Index(self.folder.index_path)

    def settle(self) -> int:
        """Make the index agree with the folder, and say how many rows were wrong."""
        try:
            wrong = self._settle()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            self.index.close()
            self._replace_index(error)
            wrong = self._settle()
        self.index.lost_promises(self.folder.has_fill, self.folder.entry_stat)
        self.index.fit(self.policy, self._config.size_max)
        return wrong

    def _settle(self) -> int:
        wrong = self._repair()
        self._is_settled = True
        return wrong

    def _repair(self) -> int:
        """One process at a time repairs, and the others look again when it is done; not for ever, for it may hang."""
        suspects, until_s = self.index.suspects(self._scan()), time.monotonic() + _REPAIR_S
        if not suspects:
            return 0
        with ExitStack() as turn:
            has_waited = False
            while not turn.enter_context(self.folder.exclusive("settle")) and time.monotonic() < until_s:
                has_waited = True
                time.sleep(_REPAIR_POLL_S)
            if has_waited:
                suspects = self.index.suspects(self._scan())
            return self.index.settle(suspects, self.folder.entry_stat, self.folder.has_fill)

    def _scan(self) -> Iterator[Shard]:
        for shard in self.folder.scan():
            self._scanned += 1
            yield shard

    def usage(self) -> Usage:
        self._make_current()
        usage = self.index.usage()
        return Usage(
            entries=usage.entries,
            committed_bytes=usage.committed_bytes,
            reserved_bytes=usage.reserved_bytes + self._unpromised_bytes(),
            leaving_bytes=self.folder.sweep_leaving(),
            quarantined_bytes=self.folder.quarantined_bytes(),
        )

    def _make_current(self) -> None:
        """Have the index that counts, and have it agree with the folder.

        It may have been removed, perhaps with all the folder, or replaced by a process that did not know what this one
        wrote into the old one since.
        """
        if not self.index.is_current:
            self.index.close()
            self._is_settled = False
            try:
                self.folder.prepare()
            except UnknownFormat as error:
                raise OSError(errno.EEXIST, str(error)) from error
            self.index = Index(self.folder.index_path)
        if not self._is_settled:
            self._settle()

    def aside_bytes(self) -> int:
        """Looked at in the order in which files move: none is missed on its way."""
        return self._unpromised_bytes() + self.folder.quarantined_bytes() + self.folder.sweep_leaving()

    def _unpromised_bytes(self) -> int:
        """What lies in fills whose promise was lost with a damaged index."""
        promised = self.index.promised()
        return sum(stat.st_size for path, stat in self.folder.fills() if path.name not in promised)

    def release(self, name: str) -> None:
        self.index.release(name, self.folder.has_fill, self.folder.entry_stat)

    def commit(self, name: str, blob: Blob) -> None:
        self.index.commit(name, blob, self.folder.has_fill, self.folder.entry_stat)

    def evict(self, key: str) -> int | None:
        found = self.folder.entry_stat(key)
        if not self.folder.retire_entry(key):
            found = None
        self.index.forget(key, self.folder.has_entry)
        return found.size_bytes if found else None

    def entries(self) -> list[Entry]:
        return self.index.entries()

    def entry(self, key: str) -> Entry | None:
        return self.index.entry(key)

    def touch(self, hits: Mapping[str, int]) -> None:
        self.index.touch(hits, self.policy, self._config.size_max)

    def pin(self, key: str, *, pinned: bool) -> bool:
        has_entry = self.index.pin(key, pinned=pinned)
        if not has_entry and (found := self.folder.entry_stat(key)):  # whoever published it has not written it down yet
            self.index.settle([[(found.modified_s, key)]], self.folder.entry_stat, self.folder.has_fill)
            has_entry = self.index.pin(key, pinned=pinned)
        self.index.fit(self.policy, self._config.size_max)  # what is pinned is no part of the policy's space
        return has_entry

    def quarantine(self, key: str) -> None:
        self.folder.quarantine_entry(key)
        self.index.forget(key, self.folder.has_entry)

    def sweep(self) -> list[str]:
        self._make_current()
        self.folder.sweep_leaving()
        self.index.lost_promises(self.folder.has_fill, self.folder.entry_stat)
        return list(self._dead_fills())

    def drop_kept(self) -> int | None:
        """Remove what is kept of the fill that was cancelled longest ago: its bytes. None: there is none."""
        kept = [(stat.st_mtime_ns, path, stat) for path, stat in self.folder.fills() if _is_cancelled(stat)]
        for _, path, stat in sorted(kept, key=lambda found: found[0]):
            if self.folder.retire_orphan(path):  # else somebody goes on with it
                self.release(path.name)
                return stat.st_size
        return None

    def _is_kept(self, stat: os.stat_result) -> bool:
        """Not beyond its time, nor by who started later than it was cancelled: each start leaves no rest behind."""
        age_s = time.time() - stat.st_mtime
        return _is_cancelled(stat) and stat.st_mtime >= self._opened_s and 0 <= age_s < self._config.cancel_keep_s

    def _dead_fills(self) -> Iterator[str]:
        """Remove fills that nobody holds, nor has changed, for a while; not yet those that were cancelled and are kept.

        The first look takes no lock: at a start there are clients who want to go on with them.
        """
        now_s, before, self._seen = time.monotonic(), self._seen, {}
        is_first, self._has_looked = not self._has_looked, True
        for path, stat in self.folder.fills():
            if self._is_kept(stat):
                continue
            state = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
            seen = before.get(path.name, _Seen(state, now_s))
            if seen.state != state or not (is_first or self.folder.is_orphan(path)):
                continue
            if is_first or not seen.is_told or now_s - seen.since_s < _ORPHAN_S:
                self._seen[path.name] = replace(seen, is_told=not is_first)
                if not (is_first or seen.is_told or _is_cancelled(stat)) and stat.st_size:
                    yield path.name.rpartition(".")[0]
            elif self.folder.retire_orphan(path):
                self.release(path.name)
                log.info("fill.removed", name=path.name, size_bytes=stat.st_size, reason="nobody goes on with it")


def _is_cancelled(stat: os.stat_result) -> bool:
    return Mark.of(stat.st_mode) is Mark.KEPT
