"""What a folder holds at one moment, as far as that can be known from outside while others change it."""

import ctypes
import os
import sqlite3
import stat
import struct
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tests.kill.checking import PARTS

_DELETED = " (deleted)"
Key = tuple[int, int, str]  # inode, when it was made, and image: a file that is made anew may get the same inode


@dataclass(frozen=True, slots=True)
class Seen:
    """Sizes by file: of files with a name, and of those that only a process still has open; which of these are `held`.

    A process that is asleep holds none: it may have been stopped in the midst of removing it.
    """

    named: dict[Key, int]
    unnamed: dict[Key, int]
    held: set[Key]


class Sampler:
    """Looks at a cache folder from outside, with the processes that serve it.

    Summed are all files in entries/ (with their sums), fills/, leaving/ and quarantine/, and those of them that have
    no name any more and are still open. The index, VERSION, BOOT and the locks' files are none of these.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = os.fspath(folder)
        self._index = sqlite3.connect(f"file:{folder / 'index.db'}?mode=ro", uri=True, timeout=5, isolation_level=None)
        self._last = Seen({}, {}, set())
        self.samples = 0
        self.most_bytes = 0
        self.longest_unnamed_s = 0.0
        self._unnamed_since_s: dict[Key, float] = {}
        self._sure: dict[Key, int] = {}
        self._places: dict[Key, str] = {}

    def close(self) -> None:
        self._index.close()

    def sample(self, processes: Iterable[int], asleep: int | None = None) -> int:
        """Bytes that were there, for certain, at the moment between the last sample and this one.

        A look is not a moment: while it lasts, one file may go and another come in its place. What was there in two
        looks was there between them, with the smaller of its sizes at least.
        """
        seen, last = self._look(processes, asleep), self._last
        before = last.named | last.unnamed
        self._sure = {
            key: min(size_bytes, before[key])
            for key, size_bytes in (seen.named | seen.unnamed).items()
            if key in before
        }
        sure = sum(self._sure.values())
        self._last = seen
        self.samples += 1
        self.most_bytes = max(self.most_bytes, sure)
        now_s = time.monotonic()
        self._unnamed_since_s = {key: self._unnamed_since_s.get(key, now_s) for key in seen.held}
        self.longest_unnamed_s = max([self.longest_unnamed_s, *(now_s - at for at in self._unnamed_since_s.values())])
        return sure

    def told(self) -> str:
        """What the last sample was made of, and what the index says a moment later."""
        files = [f"{size_bytes:>9} {self._places[key]}" for key, size_bytes in self._sure.items()]
        entries = self._index.execute("SELECT key, charge_bytes FROM entries ORDER BY key").fetchall()
        promises = self._index.execute("SELECT name, charge_bytes FROM promises ORDER BY name").fetchall()
        return "\n".join([*sorted(files), f"entries {entries}", f"promises {promises}"])

    def promised_bytes(self) -> int:
        """What the index counts: entries, and what fills may still grow to. One moment's truth: one transaction."""
        (total,) = self._index.execute(
            "SELECT (SELECT coalesce(sum(charge_bytes), 0) FROM entries)"
            " + (SELECT coalesce(sum(charge_bytes), 0) FROM promises)"
        ).fetchone()
        return int(total)

    def _look(self, processes: Iterable[int], asleep: int | None) -> Seen:
        named: dict[Key, int] = {}
        # In the order in which files move: none is missed on its way, and its inode keeps it from counting twice.
        for part in PARTS:
            for item in _files(f"{self._folder}/{part}"):
                with suppress(FileNotFoundError):
                    file = _file(item.path)
                    key = file.inode, file.born_ns, _image(item.name)
                    named[key], self._places[key] = file.size_bytes, item.path.removeprefix(self._folder)
        unnamed: dict[Key, int] = {}
        held: set[Key] = set()
        for process in processes:
            found = dict(self._deleted(process))
            unnamed |= found
            held |= found.keys() if process != asleep else set()
        return Seen(named, unnamed, held)

    def _deleted(self, process: int) -> Iterator[tuple[Key, int]]:
        with suppress(FileNotFoundError, ProcessLookupError):
            for item in os.scandir(f"/proc/{process}/fd"):
                with suppress(FileNotFoundError):
                    path = os.readlink(item.path)  # noqa: PTH115 - a thousand times a second
                    if path.startswith(self._folder) and path.endswith(_DELETED):
                        parent, _, name = path.removesuffix(_DELETED).rpartition("/")
                        file = _file(item.path)  # of what is open, whatever its name is by now
                        if parent != self._folder and stat.S_ISREG(file.mode):
                            key = file.inode, file.born_ns, _image(name)
                            self._places[key] = f"{path.removeprefix(self._folder)} of {process}"
                            yield key, file.size_bytes


def _files(folder: str) -> Iterator[os.DirEntry[str]]:
    with suppress(FileNotFoundError), os.scandir(folder) as items:
        for item in items:
            if item.is_dir(follow_symlinks=False):
                yield from _files(item.path)
            else:
                yield item


def _image(name: str) -> str:
    """`im-7`, `im-7.1`, `im-7.deadbeef` and `im-7.1.deadbeef` are files of one image; sums are small."""
    return f"{name.partition('.')[0]}{'.sums' if '.sums' in name else ''}"


class _File(NamedTuple):
    inode: int
    born_ns: int
    size_bytes: int
    mode: int


_LIBC = ctypes.CDLL(None, use_errno=True)
_AT_FDCWD = -100
_WANTED = 0x2 | 0x1 | 0x100 | 0x200 | 0x800  # STATX_MODE, TYPE, INO, SIZE, BTIME of linux/stat.h
_STATX = struct.Struct("=I24xH2xQQ32xqI")  # struct statx up to stx_btime: mask, mode, ino, size, btime
_STATX_BYTES = 256


def _file(path: str) -> _File:
    """Python's stat does not tell when a file was made. Raises OSError."""
    buffer = ctypes.create_string_buffer(_STATX_BYTES)
    if _LIBC.statx(_AT_FDCWD, os.fsencode(path), 0, _WANTED, buffer):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    mask, mode, inode, size_bytes, born_s, born_rest_ns = _STATX.unpack_from(buffer)
    assert mask & _WANTED == _WANTED, "this file system does not tell when a file was made"
    return _File(inode, born_s * 1_000_000_000 + born_rest_ns, size_bytes, mode)
