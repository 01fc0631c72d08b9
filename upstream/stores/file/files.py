"""The file store's folders: which files are in them, and which are to be left alone. Blocks: runs in threads."""

import errno
import fcntl
import os
import re
import secrets
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Protocol

from upstream.errors import DataNotFound, Denied, Duplicate, StoreFull, Unavailable

SAFE_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,127}")
_PART = re.compile(r"\.([0-9A-Za-z_-]+)\.[0-9a-f]{16}\.part")  # the dot and the suffix: no image id looks like it
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_MISSING = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP})


@contextmanager
def translated(store_id: str) -> Iterator[None]:
    """System errors become ours, without paths in the message."""
    try:
        yield
    except FileExistsError as error:
        raise Duplicate(f"{store_id} already has data of that image") from error
    except OSError as error:
        reason = os.strerror(error.errno or errno.EIO)
        if error.errno in _FULL:
            raise StoreFull(f"{store_id} has no room: {reason}") from error
        if error.errno in _DENIED:
            raise Denied(f"{store_id} refused: {reason}") from error
        if error.errno in _MISSING:
            raise DataNotFound(store_id) from error
        raise Unavailable(store_id, reason) from error


class Folder:
    """One folder of images, and the rule what belongs to it. `dir` is as configured: it stands in location URLs.

    `real`, once it is prepared, is the same without links.
    """

    def __init__(self, store_id: str, path: Path, priority: int = 0) -> None:
        self.store_id, self.dir, self.priority = store_id, path, priority
        self.real = path

    def prepare(self, mode: int | None = None) -> int:
        """Make the folder, follow its links once, remove leftovers; gives their number. Raises OSError."""
        try:
            self.dir.mkdir(parents=True)
        except FileExistsError:
            pass
        else:
            if mode is not None:
                self.dir.chmod(mode)
        self.real = self.dir.resolve(strict=True)
        return sum(_remove_leftover(path) for path in self.real.iterdir() if _PART.fullmatch(path.name))

    @property
    def is_writable(self) -> bool:
        return os.access(self.real, os.W_OK | os.X_OK)

    @property
    def free_bytes(self) -> int:
        """For who is not root. Raises OSError."""
        room = os.statvfs(self.real)
        return room.f_bavail * room.f_frsize

    def open_to(self, file_mode: int) -> None:
        """Let those enter the folder whom the mode of its files lets read them. Raises OSError.

        Source: glance_store/_drivers/filesystem.py, _set_exec_permission.
        """
        entering = (stat.S_IXGRP if file_mode & stat.S_IRWXG else 0) | (stat.S_IXOTH if file_mode & stat.S_IRWXO else 0)
        mode = stat.S_IMODE(self.real.stat().st_mode)
        if entering & ~mode:
            self.real.chmod(mode | entering)

    def has(self, path: Path) -> bool:
        """Whether a path without links lies in it."""
        return path.is_relative_to(self.real)

    def names(self) -> list[str]:
        """Of all files that look like an image's."""
        return sorted(path.name for path in self.real.iterdir() if SAFE_ID.fullmatch(path.name) and path.is_file())

    def place(self, name: str) -> Path:
        return self.real / name

    def remove_parts(self, image_id: str) -> None:
        """What killed writers of that image left."""
        for path in self.real.iterdir():
            if (match := _PART.fullmatch(path.name)) and match[1] == image_id:
                _remove_leftover(path)


class Finds(Protocol):
    """A folder, or several of one store."""

    @property
    def store_id(self) -> str: ...

    def inside(self, named: PurePosixPath) -> Path:
        """The path without links. Raises Invalid if that lies elsewhere, OSError."""


class Whole:
    """A file being read. The lock keeps `close` from taking the descriptor from a read that nobody awaits any more."""

    def __init__(self, folders: Finds, named: PurePosixPath) -> None:
        self._folders, self._named = folders, named
        self._lock, self._fd, self._closed = threading.Lock(), -1, False
        self.identity: tuple[int, ...] = ()  # once open: of another file, or one that was written to, it is another

    def open(self) -> int:
        """The size of the file."""
        with self._lock, translated(self._folders.store_id):
            if self._closed:
                return 0
            # Not blocking: a FIFO of that name must not hold the thread until somebody writes to it.
            self._fd = os.open(self._folders.inside(self._named), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            found = os.fstat(self._fd)
            if not stat.S_ISREG(found.st_mode):
                raise DataNotFound(self._folders.store_id)
            self.identity = (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)
            return found.st_size

    def read(self, at: int, size_bytes: int) -> bytes:
        with self._lock, translated(self._folders.store_id):
            return b"" if self._closed else os.pread(self._fd, size_bytes, at)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1


def create_part(folder: Folder, image_id: str, mode: int) -> tuple[Path, int]:
    """A file of a name that no reader takes for an image, and its descriptor, which holds the lock of it."""
    while True:
        part = folder.place(f".{image_id}.{secrets.token_hex(8)}.part")
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        fcntl.flock(fd, fcntl.LOCK_EX)
        if os.fstat(fd).st_nlink:
            return part, fd
        os.close(fd)  # another process started, found it without a lock and removed it


def sync_dir(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _remove_leftover(path: Path) -> bool:
    """Remove a part nobody writes to. One that another process just made and has not locked yet is made again there.

    What cannot be removed, in a folder mounted read-only for example, does no harm and stops nobody.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
    except OSError:
        return False
    finally:
        os.close(fd)
    return True
