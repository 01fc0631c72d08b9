"""The cache's folder: what lies where, and how it is made. Everything here blocks.

    VERSION            the format of this folder
    BOOT               since which start of the machine the growing files can be believed
    index.db           who is oldest and how much is promised (cache/index.py); what is to be fetched (cache/queue.py)
    *.lock             for work that one process does at a time, which workers live (cache/presence.py), and what their
                       clients wait for (cache/demand.py)
    entries/ab/<key>   whole and immutable: never truncated, never written again, only removed
    entries/ab/<key>.sums
    fills/<key>.<n>    growing; its filler holds an flock on it; never mistaken for an entry
    leaving/           files that are out of use and still read by somebody
    quarantine/        entries found damaged, kept for the operator until room is needed

Several processes use one folder at once, without talking to each other: marks, locks (cache/files.py) and the atomic
rename are all there is between them.
"""

import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cache.errors import UnknownFormat
from cache.files import sync_folder, write_durably

FORMAT = "glint-cache 2\n"
SUMS = ".sums"
# In a folder that becomes ours: it may be a disk of its own, or one that was emptied while workers had it open.
_MAY_BE_THERE = re.compile(r"VERSION\.new|lost\+found|[a-z]+\.lock|index\.db(-wal|-shm|-journal)?")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot_id() -> str:
    """Names the time since the machine started. Where nobody can tell, every start counts as one of the machine."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return secrets.token_hex(16)


class Layout:
    """One cache folder: its places. What is done with them is in the classes made of this one."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.index_path = root / "index.db"
        self._entries, self._fills = root / "entries", root / "fills"
        self._leaving, self._quarantine = root / "leaving", root / "quarantine"

    def prepare(self) -> None:
        """Make the folder if there is none. Raises UnknownFormat if it is not one of ours; nothing is touched then.

        Several processes may start at once: one after the other, by a lock on the folder itself.
        """
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _locked(self.root, os.O_RDONLY | os.O_DIRECTORY, fcntl.LOCK_EX):
            self._check_format()
            for folder in (self._entries, self._fills, self._leaving, self._quarantine):
                folder.mkdir(exist_ok=True, mode=0o700)
            self._forget_other_boots()
            for probe in self.root.glob(".probe-*"):  # of a process that was killed while it tried the disk
                probe.unlink(missing_ok=True)

    def _check_format(self) -> None:
        """Make an empty folder ours. VERSION comes first and whole: a kill at any point can be repeated."""
        version, unfinished = self.root / "VERSION", self.root / "VERSION.new"
        if not version.exists():
            if not all(_MAY_BE_THERE.fullmatch(path.name) for path in self.root.iterdir()):
                raise UnknownFormat(
                    f"{self.root} is not empty and has no VERSION file: not a cache folder of Glint. "
                    "Name another folder in cache.dir, or empty this one",
                )
            write_durably(unfinished, FORMAT.encode())
            unfinished.rename(version)
            sync_folder(self.root)
        found = version.read_text()
        if found != FORMAT:
            raise UnknownFormat(
                f"{self.root} holds the format {found.strip()!r}, this Glint writes {FORMAT.strip()!r}. "
                "It is left alone: name another folder in cache.dir, or remove it",
            )

    def _forget_other_boots(self) -> None:
        """Growing files of before a power cut may have holes where their length says bytes: they go."""
        mark, current = self.root / "BOOT", boot_id()
        if mark.exists() and mark.read_text() == current:
            return
        for folder in (self._fills, self._leaving):
            for path in folder.iterdir():
                path.unlink(missing_ok=True)
        write_durably(mark, current.encode())

    @contextmanager
    def exclusive(self, work: str, *, wait: bool = False) -> Iterator[bool]:
        """Among all processes, do some work alone; gives whether it is ours to do. A dead process frees it."""
        try:
            with _locked(
                self.root / f"{work}.lock", os.O_RDWR | os.O_CREAT, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB)
            ):
                yield True
        except _Busy:
            yield False

    def free_bytes(self) -> int:
        """What the disk has left for us."""
        stat = os.statvfs(self.root)
        return stat.f_bavail * stat.f_frsize

    def has_entry(self, key: str) -> bool:
        return self.entry_path(key).exists()

    def has_fill(self, name: str) -> bool:
        return (self._fills / name).exists()

    def entry_path(self, key: str) -> Path:
        return self._entries / key[:2] / key

    def sums_path(self, key: str) -> Path:
        return self._entries / key[:2] / f"{key}{SUMS}"

    def fills_of(self, key: str) -> list[Path]:
        prefix = f"{key}."
        return [path for path in self._fills.iterdir() if path.name.startswith(prefix)]

    def newest_fill(self, key: str) -> Path | None:
        return max(self.fills_of(key), key=number_of, default=None)


class _Busy(Exception):
    """Another process has the lock."""


@contextmanager
def _locked(path: Path, flags: int, operation: int) -> Iterator[None]:
    fd = os.open(path, flags | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, operation)
        except BlockingIOError as error:
            raise _Busy from error
        yield
    finally:
        os.close(fd)


def number_of(fill: Path) -> int:
    """The n of `<key>.<n>`; 0 for a file that is none of ours."""
    suffix = fill.name.rpartition(".")[2]
    return int(suffix) if suffix.isdecimal() else 0
