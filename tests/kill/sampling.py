"""What a folder holds at one moment, as far as that can be known from outside while others change it."""

import os
import sqlite3
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.kill.checking import PARTS

_DELETED = " (deleted)"
_CLOCK_STEP_NS = 10_000_000  # by which the times of files may be behind the clock
Key = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Seen:
    """Sizes by inode and image: of files with a name, and of those that only a process still has open."""

    named: dict[Key, int]
    unnamed: dict[Key, int]


class Sampler:
    """Looks at a cache folder from outside, with the processes that serve it.

    Summed are all files in entries/ (with their sums), fills/, leaving/ and quarantine/, and those of them that have
    no name any more and are still open. The index, VERSION, BOOT and the locks' files are none of these.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = os.fspath(folder)
        self._index = sqlite3.connect(f"file:{folder / 'index.db'}?mode=ro", uri=True, timeout=5, isolation_level=None)
        self._last = Seen({}, {})
        self._entries: dict[Key, str] = {}
        self._stayed: dict[Key, str] = {}  # entries of the last two looks
        self._began_ns = self._last_began_ns = 0
        self.samples = 0
        self.most_bytes = 0
        self.longest_unnamed_s = 0.0
        self._unnamed_since_s: dict[Key, float] = {}

    def close(self) -> None:
        self._index.close()

    def sample(self, processes: Iterable[int]) -> int:
        """Bytes that were there, for certain, at the moment between the last sample and this one.

        A look is not a moment: while it lasts, one file may go and another come in its place. What was there in two
        looks was there between them, with the smaller of its sizes at least.
        """
        self._last_began_ns, self._began_ns = self._began_ns, time.time_ns()
        seen, last = self._look(processes), self._last
        sure = 0
        before = last.named | last.unnamed
        for key, size_bytes in (seen.named | seen.unnamed).items():
            sure += min(size_bytes, before.get(key, 0))
        self._last = seen
        self.samples += 1
        self.most_bytes = max(self.most_bytes, sure)
        now_s = time.monotonic()
        self._unnamed_since_s = {key: self._unnamed_since_s.get(key, now_s) for key in seen.unnamed}
        self.longest_unnamed_s = max([self.longest_unnamed_s, *(now_s - at for at in self._unnamed_since_s.values())])
        return sure

    def made_anew_bytes(self) -> int:
        """Of what `sample` counted: entries that went and came again between the two looks, with the same inode.

        Asked for only when there is too much, as it takes a call for each entry. What is gone by now may have been one.
        """
        anew_bytes = 0
        for key, path in self._stayed.items():
            try:
                is_old = os.stat(path).st_ctime_ns < self._last_began_ns - _CLOCK_STEP_NS  # noqa: PTH116
            except FileNotFoundError:
                is_old = False
            anew_bytes += 0 if is_old else self._last.named.get(key, 0)
        return anew_bytes

    def promised_bytes(self) -> int:
        """What the index counts: entries, and what fills may still grow to. One moment's truth: one transaction."""
        (total,) = self._index.execute(
            "SELECT (SELECT coalesce(sum(charge_bytes), 0) FROM entries)"
            " + (SELECT coalesce(sum(charge_bytes), 0) FROM promises)"
        ).fetchone()
        return int(total)

    def _look(self, processes: Iterable[int]) -> Seen:
        named: dict[Key, int] = {}
        entries: dict[Key, str] = {}
        # In the order in which files move: none is missed on its way, and its inode keeps it from counting twice.
        for part in PARTS:
            for item in _files(f"{self._folder}/{part}"):
                key = item.inode(), _image(item.name)
                # Of an entry nothing changes: it is asked for its size once, so that more looks can be taken.
                size_bytes = self._last.named.get(key) if key in self._entries and part == "entries" else None
                with suppress(FileNotFoundError):
                    named[key] = item.stat().st_size if size_bytes is None else size_bytes
                    if part == "entries":
                        entries[key] = item.path
        self._stayed = {key: path for key, path in entries.items() if key in self._entries}
        self._entries = entries
        unnamed: dict[Key, int] = {}
        for process in processes:
            unnamed.update(self._deleted(process))
        return Seen(named, unnamed)

    def _deleted(self, process: int) -> Iterator[tuple[Key, int]]:
        with suppress(FileNotFoundError, ProcessLookupError):
            for item in os.scandir(f"/proc/{process}/fd"):
                with suppress(FileNotFoundError):
                    path = os.readlink(item.path)  # noqa: PTH115 - a thousand times a second
                    if path.startswith(self._folder) and path.endswith(_DELETED):
                        parent, _, name = path.removesuffix(_DELETED).rpartition("/")
                        at = os.stat(item.path)  # noqa: PTH116 - of what is open, whatever its name is by now
                        if parent != self._folder and stat.S_ISREG(at.st_mode):
                            yield (at.st_ino, _image(name)), at.st_size


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
