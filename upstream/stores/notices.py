"""What the workers of one Glint tell each other of the stores: who failed, until when nobody asks, and who asks next.

A table in memory that all of them have mapped: no disk has a part in it, and it goes with the last of them. Keys are
hashes, so nothing in it tells a URL. Nobody waits to write: a record that two wrote at once fails its check, and is
none. Who asks next says so by the lock of one byte (as cache/demand.py does), which the kernel frees when he dies.
"""

import contextlib
import fcntl
import hashlib
import mmap
import os
import struct
import zlib
from dataclasses import dataclass, replace

_SETS, _WAYS = 512, 8
_KEY_BYTES, _RECORD_BYTES = 16, 64
_SET_BYTES = _WAYS * _RECORD_BYTES
_SIZE_BYTES = _SETS * _SET_BYTES
NOTICES_MAX = _SETS * _WAYS
_RECORD = struct.Struct("<16sddII")
_CHECK = struct.Struct("<I")
_FLOCK = "hhqqi4x"  # struct flock of 64-bit Linux: type, whence, start, length, pid (0, as it must be)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Times are of the monotonic clock, which all processes of a machine share. `word` means what its writer says."""

    failures: int
    until_s: float
    word: int = 0
    asking_since_s: float = 0.0


def key_of(*names: object) -> bytes:
    return hashlib.sha256("\0".join(map(str, names)).encode()).digest()[:_KEY_BYTES]


def new_table() -> int:
    """The descriptor of an empty table, for workers to inherit."""
    fd = os.memfd_create("glint-notices")
    os.ftruncate(fd, _SIZE_BYTES)
    return fd


class Notices:
    """One process's hold on the table. Nothing here waits, nor fails for what others do."""

    def __init__(self, table: int | None = None) -> None:
        """`table` stays the caller's; None: a new one, that no other process has."""
        fd = new_table() if table is None else table
        try:
            self.memory = mmap.mmap(fd, _SIZE_BYTES)
            # Opened anew: locks belong to an open file, and who inherits one shares them.
            self._locks = os.open(f"/proc/self/fd/{fd}", os.O_RDWR | os.O_CLOEXEC)
        finally:
            if table is None:
                os.close(fd)
        self._claimed: set[bytes] = set()

    def close(self) -> None:
        self.memory.close()
        os.close(self._locks)

    def read(self, key: bytes) -> Notice | None:
        """What stands there of `key` (`key_of`), whoever wrote it."""
        at = self._place(key)
        if at is None:
            return None
        record = self.memory[at : at + _RECORD.size]
        (check,) = _CHECK.unpack_from(self.memory, at + _RECORD.size)
        if check != zlib.crc32(record):
            return None
        _, until_s, asking_since_s, failures, word = _RECORD.unpack(record)
        return Notice(failures=failures, until_s=until_s, word=word, asking_since_s=asking_since_s)

    def write(self, key: bytes, notice: Notice) -> None:
        """In the place of the one that is over for longest, if there is none of this key and no room."""
        at = self._place(key)
        if at is None:
            start = _set_of(key)
            at = min(range(start, start + _SET_BYTES, _RECORD_BYTES), key=self._until_s)
        record = _RECORD.pack(key, notice.until_s, notice.asking_since_s, min(notice.failures, 2**32 - 1), notice.word)
        self.memory[at : at + _RECORD.size + _CHECK.size] = record + _CHECK.pack(zlib.crc32(record))

    def remove(self, key: bytes) -> None:
        if (at := self._place(key)) is not None:
            self.memory[at : at + _RECORD_BYTES] = bytes(_RECORD_BYTES)

    def claim(self, key: bytes, now_s: float) -> bool:
        """Whether it is for the caller to ask; nobody else may then, until he gives it back or his process ends."""
        if key in self._claimed:
            return False
        try:
            fcntl.fcntl(self._locks, fcntl.F_OFD_SETLK, _lock(fcntl.F_WRLCK, key))
        except OSError:  # another process has it
            return False
        self._claimed.add(key)
        if (notice := self.read(key)) is not None:
            self.write(key, replace(notice, asking_since_s=now_s))
        return True

    def give_back(self, key: bytes) -> None:
        if key in self._claimed:
            self._claimed.remove(key)
            with contextlib.suppress(OSError):
                fcntl.fcntl(self._locks, fcntl.F_OFD_SETLK, _lock(fcntl.F_UNLCK, key))

    def _place(self, key: bytes) -> int | None:
        start = _set_of(key)
        at = self.memory.find(key, start, start + _SET_BYTES)
        return at if at >= 0 and not at % _RECORD_BYTES else None

    def _until_s(self, at: int) -> float:
        until_s: float = struct.unpack_from("<d", self.memory, at + _KEY_BYTES)[0]
        return until_s


def _set_of(key: bytes) -> int:
    return int.from_bytes(key[:2]) % _SETS * _SET_BYTES


def _lock(kind: int, key: bytes) -> bytes:
    number = int.from_bytes(key[:8]) >> 2
    return struct.pack(_FLOCK, kind, os.SEEK_SET, number, 1, 0)
