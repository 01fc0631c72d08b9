"""What images under test hold: the same bytes for the same seed, of any size, in no memory."""

import hashlib
import random
from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import cached_property, lru_cache

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
_BLOCK = MIB
_STRIDE = 0x9E375  # odd, so that block * stride mod 2**20 meets every shift once before it repeats


@lru_cache(maxsize=16)
def _noise(seed: int, size_bytes: int) -> memoryview:
    """The same for a smaller size, but shorter. `size_bytes` is a multiple of 4."""
    return memoryview(random.Random(seed).randbytes(size_bytes))


class Content(ABC):
    """Bytes that can be looked at in any part. `digest` computes once and keeps the answer."""

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self._digests: dict[str, str] = {}

    @abstractmethod
    def piece(self, start: int, stop: int) -> memoryview:
        """Some bytes from `start` on, not beyond `stop`; at least one if there are any. Nothing is copied."""

    def pieces(self, start: int = 0, stop: int | None = None) -> Iterator[memoryview]:
        end = self.size_bytes if stop is None else min(stop, self.size_bytes)
        while start < end:
            piece = self.piece(start, end)
            yield piece
            start += len(piece)

    def read(self, start: int = 0, stop: int | None = None) -> bytes:
        return b"".join(self.pieces(start, stop))

    def digest(self, algorithm: str = "sha512") -> str:
        if algorithm not in self._digests:
            running = hashlib.new(algorithm, usedforsecurity=False)
            for piece in self.pieces():
                running.update(piece)
            self._digests[algorithm] = running.hexdigest()
        return self._digests[algorithm]

    @cached_property
    def etag(self) -> str:
        """A validator that differs with size and first bytes; quick also for huge blobs."""
        start = hashlib.sha256(self.read(0, 4 * KIB)).hexdigest()[:16]
        return f'"{start}-{self.size_bytes}"'


class Noise(Content):
    """Pseudo-random bytes: each MiB block is another window of one 2 MiB field, so no two places look alike."""

    def __init__(self, size_bytes: int, seed: int = 0) -> None:
        super().__init__(size_bytes)
        self._seed = seed

    @cached_property
    def _field(self) -> memoryview:
        """Made when it is wanted: most tests of a module run without the contents that stand at its head."""
        return _noise(self._seed, 2 * _BLOCK if self.size_bytes > _BLOCK else (self.size_bytes + 3) // 4 * 4)

    def piece(self, start: int, stop: int) -> memoryview:
        block, at = divmod(start, _BLOCK)
        shift = block * _STRIDE % _BLOCK
        return self._field[shift + at : shift + min(_BLOCK, at + stop - start)]


class Fixed(Content):
    """The bytes given."""

    def __init__(self, data: bytes) -> None:
        super().__init__(len(data))
        self._data = memoryview(data)

    def piece(self, start: int, stop: int) -> memoryview:
        return self._data[start:stop]
