"""The cache's folder: what lies where, and how a file becomes an entry. Everything here blocks.

    VERSION            the format of this folder
    index.db           who is oldest and how much is promised (cache/index.py)
    entries/ab/<key>   whole and immutable: never truncated, never written again, only unlinked
    entries/ab/<key>.sums
    fills/<key>.<n>    growing; its filler holds an flock on it; never mistaken for an entry
    quarantine/        entries found damaged, kept for the operator

All calls but `open_entry` belong into a worker thread.
"""

import contextlib
import fcntl
import hashlib
import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cache.errors import UnknownFormat
from cache.sums import sums_bytes

FORMAT = "glint-cache 1\n"
_SUMS = ".sums"
_READ_BYTES = 4 * 1024 * 1024


def charge_bytes(size_bytes: int) -> int:
    """What an entry counts against the limit: its bytes and its sums file's."""
    return size_bytes + sums_bytes(size_bytes)


@dataclass(frozen=True, slots=True)
class Found:
    """An entry that lies in the folder."""

    key: str
    size_bytes: int
    modified_s: float


class Folder:
    """One cache folder. Several processes may hold the same one."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.index_path = root / "index.db"
        self._entries, self._fills, self._quarantine = root / "entries", root / "fills", root / "quarantine"

    def prepare(self) -> None:
        """Make the folder if there is none. Raises UnknownFormat if it is not one of ours; nothing is touched then."""
        version = self.root / "VERSION"
        try:
            found = version.read_text()
        except FileNotFoundError:
            self._claim(version)
            found = FORMAT
        if found != FORMAT:
            raise UnknownFormat(
                f"{self.root} holds the format {found.strip()!r}, this Glint writes {FORMAT.strip()!r}. "
                "It is left alone: name another folder in cache.dir, or remove it",
            )
        for folder in (self._entries, self._fills, self._quarantine):
            folder.mkdir(exist_ok=True, mode=0o700)

    def _claim(self, version: Path) -> None:
        """Make an empty or absent folder ours. VERSION comes first and whole: a kill at any point can be repeated."""
        unfinished = self.root / "VERSION.new"
        if self.root.is_dir() and any(path != unfinished for path in self.root.iterdir()):
            raise UnknownFormat(
                f"{self.root} is not empty and has no VERSION file: not a cache folder of Glint. "
                "Name another folder in cache.dir, or empty this one",
            )
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_durably(unfinished, FORMAT.encode())
        unfinished.rename(version)
        sync_folder(self.root)

    def open_entry(self, key: str) -> tuple[int, int] | None:
        """Descriptor and size of an entry, None if there is none. The caller closes it.

        Meant for the event loop: one open of a local file, so that looking up and joining happen in one step. An
        entry evicted afterwards stays readable through the descriptor.
        """
        try:
            fd = os.open(self.entry_path(key), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        return fd, os.fstat(fd).st_size

    def has_entry(self, key: str) -> bool:
        return self.entry_path(key).exists()

    def remove_entry(self, key: str) -> None:
        """Unlink an entry and its sums; it may be gone already. Raises OSError if it stays."""
        self.entry_path(key).unlink(missing_ok=True)
        self._sums_path(key).unlink(missing_ok=True)

    def quarantine_entry(self, key: str) -> None:
        """Take a damaged entry out of service but keep its bytes for the operator."""
        suffix = secrets.token_hex(4)
        with contextlib.suppress(FileNotFoundError):
            self.entry_path(key).rename(self._quarantine / f"{key}.{suffix}")
        with contextlib.suppress(FileNotFoundError):
            self._sums_path(key).rename(self._quarantine / f"{key}.{suffix}{_SUMS}")

    def quarantine_index(self) -> None:
        """Take a damaged index out of service. What it knew of the order of use is lost."""
        suffix = secrets.token_hex(4)
        for path in self.root.glob(f"{self.index_path.name}*"):  # with its -wal and -shm
            path.rename(self._quarantine / f"{path.name}.{suffix}")

    def scan(self) -> Iterator[Found]:
        """Every entry there is. Sums without an entry are a publication that a kill interrupted: they go."""
        for shard in os.scandir(self._entries):
            if not shard.is_dir():
                continue  # not ours: left alone
            names = {item.name: item for item in os.scandir(shard.path)}
            for name, item in names.items():
                if not name.endswith(_SUMS):
                    stat = item.stat()
                    yield Found(name, stat.st_size, stat.st_mtime)
                elif name.removesuffix(_SUMS) not in names:
                    Path(item.path).unlink(missing_ok=True)

    def remove_dead_fills(self) -> int:
        """Delete the fill files that no living process holds, and say how many."""
        removed = 0
        for item in os.scandir(self._fills):
            fd = os.open(item.path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            else:
                Path(item.path).unlink(missing_ok=True)
                removed += 1
            finally:
                os.close(fd)
        return removed

    def digest_entry(self, key: str, algorithm: str, is_wanted: Callable[[], bool]) -> str:
        """Hex digest of an entry's bytes as they lie on disk; of some of them once it is no longer wanted.

        Raises FileNotFoundError.
        """
        digest = hashlib.new(algorithm, usedforsecurity=False)
        with self.entry_path(key).open("rb", buffering=0) as file:
            while is_wanted() and (piece := file.read(_READ_BYTES)):
                digest.update(piece)
        return digest.hexdigest()

    def start_fill(self, key: str) -> tuple[Path, int]:
        """A new locked file to fill, and its descriptor. Raises OSError."""
        path = self._fills / f"{key}.{secrets.token_hex(4)}"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException:
            os.close(fd)
            path.unlink(missing_ok=True)
            raise
        return path, fd

    def publish(self, key: str, fill: Path, fd: int, sums: bytes) -> None:
        """Make a filled file the entry `key`. Durable on return; before the rename nothing of it can be seen.

        The order is the point: data, then sums, then the name, then the folders. A power cut between any two leaves
        either no entry or a whole one.
        """
        os.fdatasync(fd)
        entry = self.entry_path(key)
        if not entry.parent.is_dir():
            entry.parent.mkdir(exist_ok=True, mode=0o700)
            sync_folder(self._entries)
        write_durably(self._sums_path(key), sums)
        fill.rename(entry)
        sync_folder(entry.parent)
        sync_folder(self._fills)

    def entry_path(self, key: str) -> Path:
        return self._entries / key[:2] / key

    def _sums_path(self, key: str) -> Path:
        return self._entries / key[:2] / f"{key}{_SUMS}"


def write_durably(path: Path, content: bytes) -> None:
    """Write a small file so that after a power cut it is whole or absent."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        write_all(fd, memoryview(content), 0)
        os.fsync(fd)
    finally:
        os.close(fd)
    sync_folder(path.parent)


def write_all(fd: int, data: memoryview, offset: int) -> None:
    """Write every byte at `offset`. A short write goes on; an error is raised with part of the data written."""
    while data:
        written = os.pwrite(fd, data, offset)
        data, offset = data[written:], offset + written


def sync_folder(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
