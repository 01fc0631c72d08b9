"""The images that dying workers fill their cache with, and where they get them."""

import asyncio
import functools
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from cache import Blob, CacheConfig, CacheUnusable, Digest, Purpose, Reader
from tests.content import KIB, MIB, Noise

LIAR = "im-liar"  # its sources are wrong in the lives of workers; nobody else asks for it
_PIECE_BYTES = 48 * KIB + 7


@functools.cache
def images(count: int, largest_bytes: int) -> dict[str, Noise]:
    """By key. Sizes are spread evenly over their magnitudes."""
    chance = random.Random(count)
    sizes = [int(40 * KIB * (largest_bytes / (40 * KIB)) ** chance.random()) for _ in range(count - 1)]
    keys = [f"im-{n}" for n in range(count - 1)] + [LIAR]
    return {key: Noise(size, seed=n % 8) for n, (key, size) in enumerate(zip(keys, [*sizes, MIB // 4], strict=True))}


def blob_of(key: str, content: Noise) -> Blob:
    return Blob(key=key, size_bytes=content.size_bytes, digest=Digest("sha256", content.digest("sha256")))


def config_of(folder: Path, size_max_bytes: int) -> CacheConfig:
    return CacheConfig.model_validate(
        {
            "dir": folder,
            "size_max": size_max_bytes,
            "free_min": 0,
            "min_age_s": 0,
            "scrub_rate_max": 0,
            "fill_idle_s": 20,
            "stall_s": 2,
            "range_fill_percent": 0,
        }
    )


class StoreBroke(Exception):
    """What a store might raise."""


class Store:
    """A content as a source. It breaks once at each of `cuts`; at `lies_at` one byte is wrong.

    `pause_s` between two pieces lets others follow the fill.
    """

    def __init__(
        self, content: Noise, *, cuts: tuple[int, ...] = (), lies_at: int | None = None, pause_s: float = 0
    ) -> None:
        self._content, self._cuts, self._lies_at, self._pause_s = content, sorted(cuts), lies_at, pause_s
        self.offsets: list[int] = []

    @asynccontextmanager
    async def __call__(self, offset: int, stop: int | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        self.offsets.append(offset)
        yield self._pieces(offset, self._content.size_bytes if stop is None else stop)

    def wanted_for(self, purpose: Purpose) -> None:
        pass

    def distrust(self) -> bool:
        return False

    async def _pieces(self, at: int, stop: int) -> AsyncIterator[bytes]:
        while at < stop:
            if self._cuts and at >= self._cuts[0]:
                del self._cuts[0]
                raise StoreBroke
            piece = bytearray(self._content.read(at, min(at + _PIECE_BYTES, stop, *self._cuts[:1])))
            if self._lies_at is not None and at <= self._lies_at < at + len(piece):
                piece[self._lies_at - at] ^= 1
            yield bytes(piece)
            at += len(piece)
            await asyncio.sleep(self._pause_s)


async def body_of(reader: Reader, start: int = 0, stop: int | None = None) -> bytes:
    """What a client would get: from the file as far as the cache lasts, then past it."""
    assert reader.blob.size_bytes is not None
    stop = reader.blob.size_bytes if stop is None else stop
    body = bytearray()
    while reader.has_file and start + len(body) < stop:
        at = start + len(body)
        try:
            upto = min(await reader.beyond(at), stop)
        except CacheUnusable:
            break
        body += await asyncio.to_thread(os.pread, reader.fd, upto - at, at)
    if start + len(body) < stop:
        async with reader.direct(start + len(body)) as pieces:
            async for piece in pieces:
                body += piece
                if start + len(body) >= stop:  # who leaves early asked for all
                    break
    return bytes(body[: stop - start])
