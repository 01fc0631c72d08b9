"""The cache's folder whole (its places: cache/layout.py): how a file becomes an entry, and what there is. It blocks."""

import contextlib
import errno
import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from heapq import merge
from pathlib import Path

from cache.claims import Claims
from cache.errors import GoneRound
from cache.files import Mark, become_reader, is_at, sync_folder, write_durably
from cache.layout import SUMS
from cache.sums import sums_bytes

READ_BYTES = 1024 * 1024


def charge_bytes(size_bytes: int) -> int:
    """What an entry counts against the limit: its bytes and its sums file's."""
    return size_bytes + sums_bytes(size_bytes)


@dataclass(frozen=True, slots=True)
class Found:
    """An entry that lies in the folder."""

    key: str
    size_bytes: int
    modified_s: float


@dataclass(frozen=True, slots=True)
class Shard:
    """The entries whose keys begin with `prefix`: size and time of writing of each. Tuples: there may be a million."""

    prefix: str
    files: dict[str, tuple[int, float]]


class Folder(Claims):
    """One cache folder. Several processes may hold the same one."""

    def publish(self, key: str, size_bytes: int, fill: Path, fd: int, sums: bytes) -> None:
        """Make a filled file the entry `key`. Durable on return; before the rename nothing of it can be seen.

        The order is the point: data, then sums, then the name, then the folders. A power cut between any two leaves
        either no entry or a whole one. Raises GoneRound if the fill was gone round meanwhile.
        """
        os.utime(fd)  # its time was the filler's heartbeat until now
        os.fsync(fd)
        if os.fstat(fd).st_size != size_bytes:
            raise OSError(errno.EIO, "the file is shorter than what was written to it")
        entry = self.entry_path(key)
        if not entry.parent.is_dir():
            entry.parent.mkdir(exist_ok=True, mode=0o700)
            sync_folder(self._entries)
        gone_round = GoneRound(f"the fill of {key} showed no life for too long: another process goes on")
        if not is_at(fd, fill):
            raise gone_round
        write_durably(self.sums_path(key), sums)
        if not is_at(fd, fill):  # by now the name may be another process's new fill, half of it
            raise gone_round
        fill.rename(entry)
        if not is_at(fd, entry):  # it became so in this very moment
            self.retire(entry)
            raise gone_round
        sync_folder(entry.parent)
        sync_folder(self._fills)

    def scan(self) -> Iterator[Shard]:
        """Every entry there is. Sums without an entry are a publication that a kill interrupted: they go."""
        for prefix, items in self._shards():
            shard, with_sums = Shard(prefix, {}), []
            for item in items:
                name = item.name
                if name.endswith(SUMS):
                    with_sums.append(name.removesuffix(SUMS))
                    continue
                with contextlib.suppress(FileNotFoundError):
                    stat = item.stat()
                    shard.files[name] = stat.st_size, stat.st_mtime
            for key in with_sums:
                if key not in shard.files:
                    self.drop_lone_sums(key)
            yield shard

    def by_last_check(self) -> Iterator[str]:
        """The keys of all entries, the least recently checked first; in front those without sums, which are damaged.

        When an entry was last found good is the modification time of its sums: see cache/scrub.py.
        """
        shards = []
        for _, items in self._shards():
            keys, checked_s = [], {}
            for item in items:
                key = item.name.removesuffix(SUMS)
                if key == item.name:
                    keys.append(key)
                    continue
                with contextlib.suppress(FileNotFoundError):
                    checked_s[key] = item.stat().st_mtime
            shards.append(sorted((checked_s.get(key, 0.0), key) for key in keys))
        return (key for _, key in merge(*shards))

    def _shards(self) -> Iterator[tuple[str, Iterator[os.DirEntry[str]]]]:
        """The folders of entries and what lies in each, to be looked at before the next one. Others' files are not."""
        for folder in list(self._entries.iterdir()):
            if folder.is_dir():
                with os.scandir(folder) as items:
                    yield folder.name, (item for item in items if item.name.startswith(folder.name))

    def fills(self) -> Iterator[tuple[Path, os.stat_result]]:
        """The growing files, whoever fills them."""
        for path in list(self._fills.iterdir()):
            with contextlib.suppress(FileNotFoundError):
                if path.is_file():
                    yield path, path.stat()

    def fill_bytes(self, key: str) -> int | None:
        """How much of a running fill is written, None if there is none."""
        path = self.newest_fill(key)
        try:
            stat = None if path is None else path.stat()
        except FileNotFoundError:
            return None
        return None if stat is None or Mark.of(stat.st_mode) is Mark.KEPT else stat.st_size

    def entry_stat(self, key: str) -> Found | None:
        try:
            stat = self.entry_path(key).stat()
        except FileNotFoundError:
            return None
        return Found(key, stat.st_size, stat.st_mtime)

    def digest_entry(self, key: str, algorithm: str, is_wanted: Callable[[], bool]) -> str:
        """Hex digest of an entry's bytes as they lie on disk; of some of them once it is no longer wanted.

        Raises FileNotFoundError.
        """
        digest = hashlib.new(algorithm, usedforsecurity=False)
        with self.entry_path(key).open("rb", buffering=0) as file:
            become_reader(file.fileno())
            while is_wanted() and (piece := file.read(READ_BYTES)):
                digest.update(piece)
        return digest.hexdigest()
