"""One file of the cache as every worker sees it: its mark, its locks, its length.

Looking and locking by a descriptor do not wait for a disk: an open file's inode is in memory. Setting a mark may.

A file's *mark* stands in its permission bits. The folders are 0700, so the bits grant nothing; they are the one thing
that any process can set at once and any other can see by `fstat`.

Two locks lie on a file, and the kernel frees both when their process dies. The *filler's* is a flock: who has it may
write. The *reader's* is a lock of the open file description, shared by all who have the file open; who wants to remove
the file takes it alone first, so nothing is unlinked while somebody still reads it, and no byte on the disk is
uncounted.
"""

import ctypes
import errno
import fcntl
import os
import signal
import struct
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

FLOCK = "hhqqi4x"  # struct flock of 64-bit Linux: type, whence, start, length (0: all of it), pid (0, as it must be)
_LIBC = ctypes.CDLL(None, use_errno=True)  # os has no sync_file_range
_WAIT_BEFORE, _BEGIN, _WAIT_AFTER = 1, 2, 4
_REFUSED = {errno.EACCES, errno.EAGAIN}


class Mark(IntEnum):
    """What may be done with a file, by its permission bits."""

    STARTING = 0o600  # the source has not answered
    QUEUED = 0o620  # nor has it been asked: the fill waits for its turn
    FLOWING = 0o640  # what is in it may be sent, but for its last part
    KEPT = 0o660  # likewise, but cancelled: nobody goes on unless somebody asks for it
    WHOLE = 0o644  # length and digest are right
    FAILED = 0o604  # the source failed, or the digest is wrong: who reads it is cut
    LEFT = 0o610  # evicted or gone round: who reads it finishes, nobody new begins, its filler stops

    @classmethod
    def of(cls, mode: int) -> "Mark":
        """The mark of a mode; an unknown one is a file that somebody changed by hand, of which nothing is believed."""
        try:
            return cls(mode & 0o777)
        except ValueError:
            return cls.LEFT


@dataclass(frozen=True, slots=True)
class Look:
    """A file at one moment. `is_linked` is False once its last name is gone."""

    size_bytes: int
    mark: Mark
    mtime_ns: int
    is_linked: bool


def look(fd: int) -> Look:
    stat = os.fstat(fd)
    return Look(stat.st_size, Mark.of(stat.st_mode), stat.st_mtime_ns, stat.st_nlink > 0)


def set_mark(fd: int, mark: Mark) -> None:
    os.fchmod(fd, mark)


def set_mark_at(fd: int, path: Path, mark: Mark) -> None:
    """The same for a file that others may take away: they take its name first, then set their mark, which stays.

    Blocks.
    """
    set_mark(fd, mark)
    if not is_at(fd, path):
        set_mark(fd, Mark.LEFT)


def become_filler(fd: int) -> bool:
    """Take the filler's lock; False if another has it."""
    return _flock(fd, fcntl.LOCK_EX)


def has_filler(fd: int) -> bool:
    """Whether another has the filler's lock. Who asks may hold up one that wants it, but no other who asks."""
    return not _flock(fd, fcntl.LOCK_SH)


def _flock(fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def stop_filling(fd: int) -> None:
    """Give the filler's lock back, before the file is closed: readers may have it open for long."""
    fcntl.flock(fd, fcntl.LOCK_UN)


def become_reader(fd: int) -> bool:
    """Take the reader's lock; False if somebody is about to remove the file."""
    return _lock(fd, fcntl.F_RDLCK)


def become_remover(fd: int) -> bool:
    """Take the reader's lock alone; False if somebody reads. The descriptor must be open for writing."""
    return _lock(fd, fcntl.F_WRLCK)


def is_open_elsewhere(fd: int) -> bool:
    """Whether another descriptor of this file is open for certain, in any process; `fd` must be open for writing.

    By a lease, which the kernel gives to the only one. Until `fd` is closed, who opens the file by its name waits, or
    has EWOULDBLOCK. File systems without leases never say so.
    """
    try:
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)  # of who waits: SIGIO would end this process, this is ignored
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    return False


def _lock(fd: int, kind: int) -> bool:
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, struct.pack(FLOCK, kind, os.SEEK_SET, 0, 0, 0))
    except OSError as error:
        if error.errno in _REFUSED:
            return False
        raise
    return True


def is_at(fd: int, path: Path) -> bool:
    """Whether the open file is still the one of this name. Blocks."""
    try:
        named = path.lstat()
    except FileNotFoundError:
        return False
    return _identity(named) == _identity(os.fstat(fd))


def is_same(fd: int, other: int) -> bool:
    """Whether two descriptors are of one file."""
    return _identity(os.fstat(fd)) == _identity(os.fstat(other))


def _identity(stat: os.stat_result) -> tuple[int, int]:
    return stat.st_dev, stat.st_ino


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


def begin_write_back(fd: int, start: int, stop: int) -> None:
    """Have these bytes written to the disk, and do not wait for that; their pages stay in memory. Raises OSError."""
    _sync_range(fd, start, stop, _BEGIN)


def end_write_back(fd: int, start: int, stop: int) -> None:
    """Return when these bytes have been written, which makes them not yet durable: fsync does. Raises OSError."""
    _sync_range(fd, start, stop, _WAIT_BEFORE | _BEGIN | _WAIT_AFTER)


def _sync_range(fd: int, start: int, stop: int, flags: int) -> None:
    if _LIBC.sync_file_range(fd, ctypes.c_int64(start), ctypes.c_int64(stop - start), flags):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def sync_folder(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
