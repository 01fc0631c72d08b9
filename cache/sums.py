"""XXH3-64 of each MiB of an entry, written beside it: what the at-rest check compares.

File format: one little-endian 64-bit value per extent of 1 MiB, the last extent as long as what is left. These sums
find decay of the disk, not forgery: the image's own digest is checked while the entry is written.
"""

import struct
from collections.abc import Iterator

import xxhash

from cache.types import MIB

EXTENT_BYTES = MIB
SUM_BYTES = 8


def sums_bytes(size_bytes: int) -> int:
    """Length of the sums file for an entry of `size_bytes`."""
    return SUM_BYTES * -(-size_bytes // EXTENT_BYTES)


class Summer:
    """Takes an entry's bytes in order, in pieces of any size; gives the sums file's content."""

    def __init__(self) -> None:
        self._sums = bytearray()
        self._extent = xxhash.xxh3_64()
        self._extent_bytes = 0

    def update(self, data: memoryview) -> None:
        for part in self._split(data):
            self._extent.update(part)
            self._extent_bytes += len(part)
            if self._extent_bytes == EXTENT_BYTES:
                self._close_extent()

    def finish(self) -> bytes:
        """The whole sums file. Call once, after the last piece."""
        if self._extent_bytes:
            self._close_extent()
        return bytes(self._sums)

    def _split(self, data: memoryview) -> Iterator[memoryview]:
        start = 0
        while start < len(data):
            stop = min(len(data), start + EXTENT_BYTES - (self._extent_bytes if start == 0 else 0))
            yield data[start:stop]
            start = stop

    def _close_extent(self) -> None:
        self._sums += struct.pack("<Q", self._extent.intdigest())
        self._extent.reset()
        self._extent_bytes = 0
