"""The cache's folder: what lies where, who may write it, and how a file becomes an entry. Everything here blocks.

    VERSION            the format of this folder
    BOOT               since which start of the machine the growing files can be believed
    index.db           who is oldest and how much is promised (cache/index.py); what is to be fetched (cache/queue.py)
    *.lock             for work that one process does at a time, and which workers live (cache/presence.py)
    entries/ab/<key>   whole and immutable: never truncated, never written again, only removed
    entries/ab/<key>.sums
    fills/<key>.<n>    growing; its filler holds an flock on it; never mistaken for an entry
    leaving/           files that are out of use and still read by somebody
    quarantine/        entries found damaged, kept for the operator until room is needed

Several processes use one folder at once, without talking to each other: marks, locks (cache/files.py) and the atomic
rename are all there is between them.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from cache.errors import GoneRound, UnknownFormat
from cache.files import (
    Mark,
    become_filler,
    become_reader,
    become_remover,
    is_at,
    look,
    stop_filling,
    sync_folder,
    write_durably,
)
from cache.sums import sums_bytes

FORMAT = "glint-cache 2\n"
_SUMS = ".sums"
_MAY_BE_THERE = frozenset(
    {"VERSION.new", "lost+found"}
)  # in a folder that becomes ours, which may be a disk of its own
_READ_BYTES = 4 * 1024 * 1024
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_CLAIM_TRIES = 100  # each is lost to another process that is in the midst of something
_CLAIM_PAUSE_S = 0.01


def charge_bytes(size_bytes: int) -> int:
    """What an entry counts against the limit: its bytes and its sums file's."""
    return size_bytes + sums_bytes(size_bytes)


def boot_id() -> str:
    """Names the time since the machine started. Where nobody can tell, every start counts as one of the machine."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return secrets.token_hex(16)


class Role(Enum):
    """What a worker is to a file that it opened."""

    READER = auto()  # of an entry
    FOLLOWER = auto()  # of a fill that another process runs
    FILLER = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A file opened for one key, under the reader's lock, and the filler's if that is the role. Who has it closes it.

    `size_bytes` are in it already: of a filler who goes on where another ended.
    """

    role: Role
    path: Path
    fd: int
    size_bytes: int


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
            if any(path.name not in _MAY_BE_THERE for path in self.root.iterdir()):
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

    # Claims: one file for one key.

    def find(self, key: str, size_bytes: int) -> Claim | None:
        """The entry, or the fill that runs in another process or has lost its own. Raises OSError."""
        for _ in range(_CLAIM_TRIES):
            entry = self._open_entry(key, size_bytes)
            if entry is not None:
                return entry
            path = self._newest_fill(key)
            if path is None:
                return None
            claim = self._open_fill(key, size_bytes, path, os.O_RDWR)
            if claim is not None:
                return claim
            time.sleep(_CLAIM_PAUSE_S)
        raise OSError(f"{key} was taken away {_CLAIM_TRIES} times")

    def claim(self, key: str, size_bytes: int) -> Claim:
        """The same, and where there is nothing yet, a new fill. Raises OSError."""
        for _ in range(_CLAIM_TRIES):
            found = self.find(key, size_bytes)
            if found is not None:
                return found
            claim = self._open_fill(key, size_bytes, self._fills / f"{key}.1", os.O_RDWR | os.O_CREAT)
            if claim is not None:
                return claim
            time.sleep(_CLAIM_PAUSE_S)  # an entry that is being removed takes as long as its unlink
        raise OSError(f"{key} was taken away {_CLAIM_TRIES} times")

    def is_growing(self, claim: Claim) -> bool:
        """Whether a fill whose lock was got is still to be filled. If not, the lock is given back."""
        if is_at(claim.fd, claim.path):
            return True
        stop_filling(claim.fd)
        return False

    def supersede(self, key: str, size_bytes: int, stalled: Path) -> Claim | None:
        """Begin the next file of a fill whose filler hangs; None if another process was faster, or it has published.

        From then on the old filler can neither publish, since its name is gone, nor harm: its file is another one.
        """
        number = int(stalled.name.rpartition(".")[2]) + 1
        try:
            return self._open_fill(key, size_bytes, self._fills / f"{key}.{number}", os.O_RDWR | os.O_CREAT | os.O_EXCL)
        except FileExistsError:
            return None

    def _open_fill(self, key: str, size_bytes: int, path: Path, flags: int) -> Claim | None:
        """None if the file went away while it was opened: then all has to be looked up again."""
        try:
            fd = os.open(path, flags | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            return None
        try:
            if not become_reader(fd):
                return None
            is_filler = become_filler(fd)
            if not is_at(fd, path):
                return None
            if look(fd).mark in (Mark.LEFT, Mark.FAILED):
                if is_filler:
                    self.retire(path)  # whoever ended it could not
                return None
            if is_filler and not self._is_alone(key, size_bytes, path):
                return None
            role = Role.FILLER if is_filler else Role.FOLLOWER
            claim = Claim(role=role, path=path, fd=fd, size_bytes=os.fstat(fd).st_size)
            fd = -1
            return claim
        finally:
            if fd >= 0:
                os.close(fd)

    def _is_alone(self, key: str, size_bytes: int, path: Path) -> bool:
        """Whether a new filler is the only one of its key: others, that hang, are sent away here.

        An entry may have been published between our look for one and our lock; then our file is not needed.
        """
        for other in self._fills_of(key):
            if other != path and _number(other) < _number(path):
                self.retire(other)
        if self.has_entry(key):
            self.retire(path)
            return False
        return True

    def _fills_of(self, key: str) -> list[Path]:
        prefix = f"{key}."
        return [path for path in self._fills.iterdir() if path.name.startswith(prefix)]

    def _newest_fill(self, key: str) -> Path | None:
        return max(self._fills_of(key), key=_number, default=None)

    def _open_entry(self, key: str, size_bytes: int) -> Claim | None:
        path = self.entry_path(key)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            if not become_reader(fd) or not is_at(fd, path):
                return None
            found_bytes = os.fstat(fd).st_size
            if found_bytes != size_bytes:
                self.quarantine_entry(key)
                return None
            claim = Claim(role=Role.READER, path=path, fd=fd, size_bytes=size_bytes)
            fd = -1
            return claim
        finally:
            if fd >= 0:
                os.close(fd)

    # Publishing and removing.

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

    def take_unread(self, key: str) -> int | None:
        """The descriptor of an entry that nobody reads and nobody can begin to read; None if somebody does.

        The caller removes the entry, or not, and closes the descriptor. Raises FileNotFoundError.
        """
        fd = os.open(self.entry_path(key), os.O_RDWR | os.O_CLOEXEC)
        try:
            if become_remover(fd) and is_at(fd, self.entry_path(key)):
                taken, fd = fd, -1
                return taken
            return None
        finally:
            if fd >= 0:
                os.close(fd)

    def remove_entry(self, key: str) -> None:
        """Unlink an entry and its sums; it may be gone already. For who has it by `take_unread`. Raises OSError."""
        self.entry_path(key).unlink(missing_ok=True)
        self.sums_path(key).unlink(missing_ok=True)

    def retire_entry(self, key: str) -> bool:
        """Take an entry out of use; who reads it finishes. Whether there was one. Raises OSError."""
        if not self.retire(self.entry_path(key)):
            return False
        self.sums_path(key).unlink(missing_ok=True)
        return True

    def retire_fill(self, path: Path, fd: int) -> None:
        """The same for the fill that is open as `fd`; nothing if another process has gone round it. Raises OSError."""
        if is_at(fd, path):  # else the name may be a new fill's
            self.retire(path, look(fd).mark)

    def retire(self, path: Path, was: Mark = Mark.LEFT) -> bool:
        """Take a file out of use and remove it when nobody has it open any more, now or by a later `sweep_leaving`.

        The rename decides: who publishes at the same time either was first or finds no file. The mark only tells;
        what has FAILED keeps saying so.
        """
        left = self._leaving / f"{path.name}.{secrets.token_hex(4)}"
        try:
            path.rename(left)
        except FileNotFoundError:
            return False
        with contextlib.suppress(FileNotFoundError):
            left.chmod(Mark.FAILED if was is Mark.FAILED else Mark.LEFT)
            _remove_if_unused(left)
        return True

    def sweep_leaving(self) -> int:
        """Remove what nobody reads any more; the bytes that are still there."""
        rest_bytes = 0
        for path in list(self._leaving.iterdir()):
            with contextlib.suppress(FileNotFoundError):
                size_bytes = path.stat().st_size
                if not _remove_if_unused(path):
                    rest_bytes += size_bytes
        return rest_bytes

    def quarantine_entry(self, key: str) -> None:
        """Take a damaged entry out of service but keep its bytes for the operator, as long as there is room."""
        suffix = secrets.token_hex(4)
        with contextlib.suppress(FileNotFoundError):
            kept = self._quarantine / f"{key}.{suffix}"
            self.entry_path(key).rename(kept)
            kept.chmod(Mark.FAILED)  # who reads it now is cut before its end
        with contextlib.suppress(FileNotFoundError):
            self.sums_path(key).rename(self._quarantine / f"{key}.{suffix}{_SUMS}")

    def quarantined_bytes(self) -> int:
        return _bytes_in(self._quarantine)

    def empty_quarantine(self) -> None:
        for path in list(self._quarantine.iterdir()):
            self.retire(path)

    def quarantine_index(self) -> None:
        """Take a damaged index out of service. What it knew of the order of use is lost."""
        suffix = secrets.token_hex(4)
        for path in self.root.glob(f"{self.index_path.name}*"):  # with its -wal and -shm
            path.rename(self._quarantine / f"{path.name}.{suffix}")

    # Looking around.

    def scan(self) -> Iterator[Found]:
        """Every entry there is. Sums without an entry are a publication that a kill interrupted: they go."""
        for shard in list(self._entries.iterdir()):
            if not shard.is_dir():
                continue  # not ours: left alone
            with os.scandir(shard) as items:
                names = {item.name: item for item in items}
            for name, item in names.items():
                if not name.endswith(_SUMS):
                    with contextlib.suppress(FileNotFoundError):
                        stat = item.stat()
                        yield Found(name, stat.st_size, stat.st_mtime)
                elif name.removesuffix(_SUMS) not in names and not self._fills_of(name.removesuffix(_SUMS)):
                    Path(item.path).unlink(missing_ok=True)

    def fills(self) -> Iterator[tuple[Path, os.stat_result]]:
        """The growing files, whoever fills them."""
        for path in list(self._fills.iterdir()):
            with contextlib.suppress(FileNotFoundError):
                if path.is_file():
                    yield path, path.stat()

    def fill_bytes(self, key: str) -> int | None:
        """How much of a running fill is written, None if there is none."""
        path = self._newest_fill(key)
        try:
            return None if path is None else path.stat().st_size
        except FileNotFoundError:
            return None

    def is_orphan(self, path: Path) -> bool:
        """Whether no living process fills this file."""
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            return become_filler(fd)
        finally:
            os.close(fd)

    def retire_orphan(self, path: Path) -> bool:
        """Take a fill out of use that no living process fills; whether there was one. Who comes late finds it gone."""
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            return become_filler(fd) and is_at(fd, path) and self.retire(path)
        finally:
            os.close(fd)

    def free_bytes(self) -> int:
        """What the disk has left for us."""
        stat = os.statvfs(self.root)
        return stat.f_bavail * stat.f_frsize

    def has_entry(self, key: str) -> bool:
        return self.entry_path(key).exists()

    def has_fill(self, name: str) -> bool:
        return (self._fills / name).exists()

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
            while is_wanted() and (piece := file.read(_READ_BYTES)):
                digest.update(piece)
        return digest.hexdigest()

    def entry_path(self, key: str) -> Path:
        return self._entries / key[:2] / key

    def sums_path(self, key: str) -> Path:
        return self._entries / key[:2] / f"{key}{_SUMS}"


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


def _number(fill: Path) -> int:
    """The n of `<key>.<n>`; 0 for a file that is none of ours."""
    suffix = fill.name.rpartition(".")[2]
    return int(suffix) if suffix.isdecimal() else 0


def _remove_if_unused(path: Path) -> bool:
    """Unlink a file unless some process reads or fills it; whether it is gone."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        if become_remover(fd) and become_filler(fd):
            path.unlink(missing_ok=True)
            return True
        return False
    finally:
        os.close(fd)


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in list(folder.iterdir()):
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size
    return total
