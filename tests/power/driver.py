"""The life of a cache in one process, to be recorded: `python -m tests.power.driver FOLDER MARKS SEED IMAGES`.

It fills, reads, evicts, runs out of room, meets sources that lie or die, is closed and opened again. What it was
promised goes to the file MARKS, a line each, the moment it is promised: "stored KEY", "evicting KEY".
"""

import asyncio
import os
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from cache import Blob, CacheConfig, CacheError, CacheFull, Digest, ImageCache, Purpose
from metrics import Instruments
from tests.content import KIB, MIB, Content, Noise

LIMIT_BYTES = 10 * MIB
_PIECE_BYTES = 192 * KIB + 7


class StoreBroke(Exception):
    """What a store might raise."""


class Memory:
    """A content as a source. `dies_at`: that is as far as it goes, each time. `lies_at`: one wrong byte there."""

    def __init__(self, content: Content, *, dies_at: int | None = None, lies_at: int | None = None) -> None:
        self._content, self._dies_at, self._lies_at = content, dies_at, lies_at

    @asynccontextmanager
    async def __call__(self, offset: int, stop: int | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        yield self._pieces(offset, self._content.size_bytes if stop is None else stop)

    def wanted_for(self, purpose: Purpose) -> None:
        pass

    def distrust(self) -> bool:
        return False

    async def _pieces(self, at: int, stop: int) -> AsyncIterator[bytes]:
        while at < stop:
            if self._dies_at is not None and at >= self._dies_at:
                raise StoreBroke
            piece = bytearray(self._content.read(at, min(at + _PIECE_BYTES, stop)))
            if self._lies_at is not None and at <= self._lies_at < at + len(piece):
                piece[self._lies_at - at] ^= 1
            yield bytes(piece)
            at += len(piece)


def images(seed: int, count: int) -> dict[str, Noise]:
    """What the driver fills from: key and content. Sizes are spread evenly over their magnitudes, few are round."""
    chance = random.Random(seed)
    sizes = [int(64 * KIB * 64 ** chance.random()) for _ in range(count - 2)] + [64 * KIB, MIB]
    return {f"{chance.randbytes(4).hex()}-{n}": Noise(size, seed=n % 8) for n, size in enumerate(sizes)}


def blob_of(key: str, content: Content) -> Blob:
    return Blob(key=key, size_bytes=content.size_bytes, digest=Digest("sha256", content.digest("sha256")))


_STORED_S = 30.0


def config_of(folder: Path) -> CacheConfig:
    return CacheConfig.model_validate(
        {"dir": folder, "size_max": LIMIT_BYTES, "free_min": 0, "min_age_s": 0, "scrub_rate_max": 0, "fill_idle_s": 5}
    )


async def live(folder: Path, marks: Path, seed: int, count: int) -> None:
    chance = random.Random(seed + 1)
    contents = images(seed, count)
    keys = list(contents)
    said = os.open(marks, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)

    async def fill(cache: ImageCache, key: str) -> None:
        async with asyncio.timeout(_STORED_S):
            while True:
                try:
                    await cache.store(blob_of(key, contents[key]), Memory(contents[key]))
                except CacheFull:  # three large ones at once: when the others are whole they can go
                    await asyncio.sleep(0.01)
                else:
                    break
        os.write(said, f"stored {key}\n".encode())

    async def fail(cache: ImageCache, key: str, source: Memory) -> None:
        with suppress(CacheError, StoreBroke):
            await cache.store(blob_of(key, contents[key]), source)

    async def look(cache: ImageCache, key: str) -> None:
        async with cache.open(blob_of(key, contents[key]), Memory(contents[key])) as reader:
            await reader.beyond(0)

    for session in range(2):
        async with ImageCache(config_of(folder), Instruments()) as cache:
            for at in range(0, count, 4):
                async with asyncio.TaskGroup() as group:  # some at once, so that their calls are mixed
                    for key in keys[at : at + 3]:
                        group.create_task(fill(cache, key))
                    broken = keys[(at + 3) % count]
                    size_bytes = contents[broken].size_bytes
                    source = Memory(contents[broken], **{chance.choice(("dies_at", "lies_at")): size_bytes // 2})
                    group.create_task(fail(cache, broken, source))
                await look(cache, chance.choice(keys[: at + 3]))
                await cache.usage()
                gone = chance.choice(keys[: at + 3])
                os.write(said, f"evicting {gone}\n".encode())
                await cache.evict(gone)
            chance.shuffle(keys)
        os.write(said, f"closed {session}\n".encode())
    os.close(said)


if __name__ == "__main__":
    _, where, marks_path, seed_text, count_text = sys.argv
    asyncio.run(live(Path(where), Path(marks_path), int(seed_text), int(count_text)))
