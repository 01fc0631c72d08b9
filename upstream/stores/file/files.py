"""The file store's files: find, read, publish whole, leave nothing half. All of it blocks and runs in a thread."""

import errno
import fcntl
import os
import re
import secrets
import stat
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from upstream.errors import DataNotFound, Denied, Duplicate, Invalid, StoreFull, Unavailable

_SAFE_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,127}")
_PART = re.compile(r"\.[0-9A-Za-z_-]+\.[0-9a-f]{16}\.part")  # the dot and the suffix: no image id looks like it
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_MISSING = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP})


class Folder:
    """One folder of images, and the rule what belongs to it. `dir` is as configured: it stands in location URLs."""

    def __init__(self, store_id: str, path: Path) -> None:
        self.store_id, self.dir = store_id, path
        self._real = path

    def prepare(self) -> int:
        """Make the folder, follow its links once, remove leftovers; gives their number."""
        with self.translated():
            self.dir.mkdir(parents=True, exist_ok=True)
            self._real = self.dir.resolve(strict=True)
            return sum(_remove_leftover(path) for path in self._real.iterdir() if _PART.fullmatch(path.name))

    def find(self, named: PurePosixPath) -> tuple[Path, int]:
        """The real path of a file and its size. Raises Invalid outside the folder, DataNotFound for no regular file."""
        with self.translated():
            path = self.inside(named)
            found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise DataNotFound(self.store_id)
        return path, found.st_size

    def inside(self, named: PurePosixPath) -> Path:
        path = Path(os.path.realpath(named, strict=True))
        if not path.is_relative_to(self._real):
            raise Invalid(f"a location points outside the folder of {self.store_id}")
        return path

    def remove(self, named: PurePosixPath) -> None:
        """Unlink the name, not what a symbolic link of that name points to."""
        with self.translated():
            path = self.inside(named.parent) / named.name
            path.unlink()
            sync_dir(path.parent)

    def names(self) -> list[str]:
        """Of all files that look like an image's."""
        with self.translated():
            return sorted(
                path.name for path in self._real.iterdir() if _SAFE_ID.fullmatch(path.name) and path.is_file()
            )

    def place(self, name: str) -> Path:
        return self._real / name

    @contextmanager
    def translated(self) -> Iterator[None]:
        """System errors become ours, without paths in the message."""
        try:
            yield
        except FileExistsError as error:
            raise Duplicate(f"{self.store_id} already has data of that image") from error
        except OSError as error:
            reason = os.strerror(error.errno or errno.EIO)
            if error.errno in _FULL:
                raise StoreFull(f"{self.store_id} has no room: {reason}") from error
            if error.errno in _DENIED:
                raise Denied(f"{self.store_id} refused: {reason}") from error
            if error.errno in _MISSING:
                raise DataNotFound(self.store_id) from error
            raise Unavailable(self.store_id, reason) from error


class Whole:
    """A file being read. The lock keeps `close` from taking the descriptor from a read that nobody awaits any more."""

    def __init__(self, folder: Folder, named: PurePosixPath) -> None:
        self._folder, self._named = folder, named
        self._lock, self._fd, self._closed = threading.Lock(), -1, False
        self.identity: tuple[int, ...] = ()  # once open: of another file, or one that was written to, it is another

    def open(self) -> int:
        """The size of the file."""
        with self._lock, self._folder.translated():
            if self._closed:
                return 0
            # Not blocking: a FIFO of that name must not hold the thread until somebody writes to it.
            self._fd = os.open(self._folder.inside(self._named), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            found = os.fstat(self._fd)
            if not stat.S_ISREG(found.st_mode):
                raise DataNotFound(self._folder.store_id)
            self.identity = (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)
            return found.st_size

    def read(self, at: int, size_bytes: int) -> bytes:
        with self._lock, self._folder.translated():
            return b"" if self._closed else os.pread(self._fd, size_bytes, at)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1


class Part:
    """A file being written under a name that no reader takes for an image.

    An flock tells a part that grows from one whose writer was killed. After `abandon` nothing is left, whatever else
    was or still is going on; calls that come later do nothing.
    """

    def __init__(self, folder: Folder, image_id: str, mode: int | None) -> None:
        if not _SAFE_ID.fullmatch(image_id):
            raise Invalid(f"not an image id: {image_id!r}")
        self._folder, self._mode = folder, mode
        self._image_id = image_id
        self._lock, self._fd, self._abandoned, self._published = threading.Lock(), -1, False, False
        self._part = self._final = Path()
        self.size_bytes = 0

    def open(self, hint_bytes: int | None) -> None:
        """Raises Duplicate at once, before the data is read for nothing, and StoreFull if it cannot fit."""
        with self._lock, self._folder.translated():
            if self._abandoned:
                return
            self._final = self._folder.place(self._image_id)
            if os.path.lexists(self._final):
                raise Duplicate(f"{self._folder.store_id} already has data of that image")
            room = os.statvfs(self._final.parent)
            if hint_bytes is not None and hint_bytes > room.f_bavail * room.f_frsize:
                raise StoreFull(f"{self._folder.store_id} has no room for {hint_bytes} bytes")
            self._create()

    def _create(self) -> None:
        self._part, self._fd = create_part(self._folder, self._image_id, 0o666)

    def append(self, chunks: Sequence[bytes]) -> None:
        with self._lock, self._folder.translated():
            left = [memoryview(chunk) for chunk in chunks if chunk] if not self._abandoned else []
            while left:
                written = os.writev(self._fd, left)
                self.size_bytes += written
                while left and written >= len(left[0]):
                    written -= len(left.pop(0))
                if written:
                    left[0] = left[0][written:]

    def publish(self) -> None:
        """Data to disk, then the name, then the folder: a crash leaves a whole image or a part. Overwrites nothing."""
        with self._lock, self._folder.translated():
            if self._abandoned:
                return
            if self._mode is not None:
                os.fchmod(self._fd, self._mode)
            os.fdatasync(self._fd)
            os.link(self._part, self._final)
            self._published = True
            self._part.unlink()
            sync_dir(self._final.parent)
            self._release()

    def abandon(self) -> None:
        """Undo what was done, also a publish that ended after its caller was cancelled."""
        with self._lock:
            self._abandoned = True
            for path, ours in ((self._final, self._published), (self._part, self._part.name)):
                if ours:
                    with suppress(OSError):
                        path.unlink()
            self._release()

    def _release(self) -> None:
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
