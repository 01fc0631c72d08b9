"""For which images a client waits, in any worker of a folder: who fills one for another reason then makes haste.

By the same means it is told whose fills the disk holds up: that key is made by `held`.

As in cache/presence.py a worker tells it by the lock of one byte of a file, whose number is drawn from the key. The
lock is a shared one, since several may wait, and the kernel lets go of it when its worker dies. Two keys that come to
the same number cost nothing but haste.
"""

import fcntl
import hashlib
import os
import struct
from pathlib import Path

from cache.files import FLOCK

_BITS = 62


class Demand:
    """One worker's word, and what it hears of the others. All of it blocks, for a moment; raises OSError."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._told: set[str] = set()

    def tell(self, key: str) -> None:
        """A client of this worker waits for it. Telling it again costs nothing."""
        if key not in self._told:
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, _lock(fcntl.F_RDLCK, key))
            self._told.add(key)

    def take_back(self, key: str) -> None:
        if key in self._told:
            self._told.remove(key)
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, _lock(fcntl.F_UNLCK, key))

    def is_told_elsewhere(self, key: str) -> bool:
        """Whether a client of another worker waits for it."""
        found = fcntl.fcntl(self._fd, fcntl.F_OFD_GETLK, _lock(fcntl.F_WRLCK, key))
        kind: int = struct.unpack(FLOCK, found)[0]
        return kind != fcntl.F_UNLCK

    def close(self) -> None:
        os.close(self._fd)


def held(key: str) -> str:
    """What is told of an image, in the place of its key, while the disk holds up its fill."""
    return f"held {key}"


def _lock(kind: int, key: str) -> bytes:
    number = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]) >> (64 - _BITS)
    return struct.pack(FLOCK, kind, os.SEEK_SET, number, 1, 0)
