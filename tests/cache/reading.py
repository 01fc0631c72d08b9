"""What a client would get of a reader, and what lies in the folder then."""

import asyncio
import os
from pathlib import Path

from cache import (
    Blob,
    CacheConfig,
    ImageCache,
    Outcome,
    Reader,
)
from tests.cache.sources import GatedSource, blob_of
from tests.content import MIB, Noise

CONTENT = Noise(3 * MIB + 17, seed=1)
BLOB = blob_of(CONTENT)


async def read_all(reader: Reader, start: int = 0, stop: int | None = None) -> bytes:
    """What a client would get, by descriptor or past the cache."""
    assert reader.blob.size_bytes is not None
    stop = reader.blob.size_bytes if stop is None else stop
    if not reader.has_file:
        async with reader.direct(start) as chunks:
            return b"".join([chunk async for chunk in chunks])[: stop - start]
    parts = []
    at = start
    while at < stop:
        upto = min(await reader.beyond(at, has_begun=at > start), stop)
        parts.append(await asyncio.to_thread(os.pread, reader.fd, upto - at, at))
        at = upto
    return b"".join(parts)


async def fetch(cache: ImageCache, source: GatedSource, blob: Blob = BLOB) -> tuple[bytes, Outcome]:
    async with cache.open(blob, source) as reader:
        return await read_all(reader), reader.outcome


def files_in(config: CacheConfig, folder: str) -> list[str]:
    return sorted(path.name for path in (config.dir / folder).rglob("*") if path.is_file())


def flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))
