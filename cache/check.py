"""Digest and sums of a growing file: from memory while they keep up, from the file while they do not."""

import hashlib
import os
from collections.abc import Sequence

from cache.errors import DigestMismatch
from cache.sums import Summer
from cache.types import MIB, Digest

_READ_BYTES = MIB


class Check:
    """Takes the bytes of one file in order. `at` is the next one to take. All of it blocks.

    A fill that goes on with another one's file has to take what is there already, which would be a long pause: it
    takes twice what comes in with each piece instead, until it has caught up.
    """

    def __init__(self, key: str, digest: Digest | None) -> None:
        self.at = 0
        self._key, self._digest = key, digest
        self._hash = hashlib.new(digest.algorithm, usedforsecurity=False) if digest else None
        self._summer = Summer()

    def take(self, pieces: Sequence[bytes], offset: int, fd: int) -> None:
        """What was, or is being, written at `offset` of the file `fd`."""
        if self.at == offset:
            for piece in pieces:
                self._update(memoryview(piece))
        else:
            self.catch_up(fd, min(offset, self.at + 2 * sum(map(len, pieces))))

    def catch_up(self, fd: int, stop: int) -> None:
        """Take the file's bytes up to `stop`, which must be there. Raises OSError."""
        while self.at < stop:
            data = os.pread(fd, min(_READ_BYTES, stop - self.at), self.at)
            if not data:
                raise OSError(f"{self._key} is shorter than what was written")
            self._update(memoryview(data))

    def finish(self) -> bytes:
        """The sums of everything taken. Raises DigestMismatch."""
        if self._hash is not None and self._digest is not None and self._hash.hexdigest() != self._digest.value:
            raise DigestMismatch(self._key, self._digest.algorithm, self._digest.value, self._hash.hexdigest())
        return self._summer.finish()

    def _update(self, data: memoryview) -> None:
        self._summer.update(data)
        if self._hash is not None:
            self._hash.update(data)
        self.at += len(data)
