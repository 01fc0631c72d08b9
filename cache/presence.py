"""Which workers of a folder live: each holds the lock of one byte of a file, and the kernel lets go when it dies.

The byte's number is the worker's name, drawn at random from so many that no two draw the same. The file stays empty:
a lock needs no byte to lie on. It is a lock of the open file description, so that other uses of the file in the same
process do not let go of it.
"""

import fcntl
import os
import secrets
import struct
from pathlib import Path

from cache.files import FLOCK

_NAME_BITS = 62


class Presence:
    """One worker among those of a folder. All of it blocks, for a moment; raises OSError."""

    def __init__(self, path: Path) -> None:
        """Makes this worker known as living until `close`."""
        self.name = secrets.randbits(_NAME_BITS)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, _lock(fcntl.F_WRLCK, self.name))

    def lives(self, name: int) -> bool:
        """Whether the worker of this name does: this one, or another."""
        if name == self.name:
            return True
        found = fcntl.fcntl(self._fd, fcntl.F_OFD_GETLK, _lock(fcntl.F_WRLCK, name))
        kind: int = struct.unpack(FLOCK, found)[0]
        return kind != fcntl.F_UNLCK

    def close(self) -> None:
        os.close(self._fd)


def _lock(kind: int, name: int) -> bytes:
    return struct.pack(FLOCK, kind, os.SEEK_SET, name, 1, 0)
