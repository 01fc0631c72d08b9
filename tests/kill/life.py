"""The life of one worker: clients who ask for images, leave early, evict and pin, until it is over or it is killed.

Run in a process of its own (tests/kill/workers.py). Whatever a client gets is compared; anything wrong ends the life
with an error in its report.
"""

import asyncio
import os
import random
import traceback
from collections.abc import MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import structlog.testing
import uvloop

from cache import Abandoned, CacheUnusable, DigestMismatch, FillFailed, ImageCache, Outcome
from metrics import Instruments
from tests.kill.images import LIAR, Store, blob_of, body_of, config_of, images
from tests.kill.points import Points

CLIENTS = 2
_LIFE_S = 60
COUNT, LARGEST_BYTES, LIMIT_BYTES = 9, 600_000, 1_300_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """`hot`: the image that most ask for. `dies_at`: at which point (tests/kill/points.py).

    The report is a file: how many points it passed and how many fills it took over, or what went wrong.
    """

    folder: Path
    report: Path
    seed: int
    hot: str
    steps: int
    dies_at: int | None = None


def live(life: Life) -> None:
    chance = random.Random(life.seed)
    points = Points(life.dies_at, chance)
    points.install()
    logs: list[MutableMapping[str, Any]] = []
    try:
        with (
            structlog.testing.capture_logs() as logs,
            patch("cache.housekeeping._EVERY_S", chance.choice((0.03, 0.3))),
            patch("cache.books._ORPHAN_S", chance.choice((0.1, 8.0))),
            patch("cache.resume.pause_s", lambda _failures, _chance: 0.001),
        ):
            takeovers = uvloop.run(_live(life, chance))
        text = f"passed {points.passed} {takeovers}"
    except BaseException:  # noqa: BLE001 - it goes to the test
        text = "\n".join([*map(str, logs[-20:]), traceback.format_exc()])
    life.report.write_text(text)
    os._exit(0)


async def _live(life: Life, chance: random.Random) -> int:
    instruments = Instruments()
    async with (
        asyncio.timeout(_LIFE_S),
        ImageCache(config_of(life.folder, LIMIT_BYTES), instruments) as cache,
        asyncio.TaskGroup() as clients,
    ):
        for _ in range(CLIENTS):
            clients.create_task(_client(cache, random.Random(chance.random()), life))
    (family,) = instruments.fill_takeovers.collect()
    return int(sum(sample.value for sample in family.samples if sample.name.endswith("_total")))


async def _client(cache: ImageCache, chance: random.Random, life: Life) -> None:
    acts = [_whole, _part, _leaves, _cut, _stores, _evicts, _pins, _lies]
    others = [key for key in images(COUNT, LARGEST_BYTES) if key != LIAR]
    for _ in range(life.steps):
        (act,) = chance.choices(acts, weights=[5, 2, 2, 2, 2, 2, 1, 1])
        await act(cache, chance, chance.choice((life.hot, chance.choice(others))))


async def _whole(cache: ImageCache, chance: random.Random, key: str, cuts: tuple[int, ...] = ()) -> None:
    content = images(COUNT, LARGEST_BYTES)[key]
    store = Store(content, cuts=cuts, pause_s=chance.choice((0, 0.01)))
    async with cache.open(blob_of(key, content), store) as reader:
        assert await body_of(reader) == content.read(), f"{key} was served wrong, as a {reader.outcome}"


async def _part(cache: ImageCache, chance: random.Random, key: str) -> None:
    content = images(COUNT, LARGEST_BYTES)[key]
    start, stop = sorted(chance.sample(range(content.size_bytes + 1), 2))
    async with cache.open(blob_of(key, content), Store(content), start=start, stop=stop) as reader:
        body = await body_of(reader, start, stop)
        assert body == content.read(start, stop), f"{start}-{stop} of {key} was served wrong, as a {reader.outcome}"


async def _leaves(cache: ImageCache, chance: random.Random, key: str) -> None:
    content = images(COUNT, LARGEST_BYTES)[key]
    stop = chance.randrange(1, content.size_bytes)
    async with cache.open(blob_of(key, content), Store(content, pause_s=0.001)) as reader:
        if reader.outcome is not Outcome.BYPASS:
            assert await body_of(reader, 0, stop) == content.read(0, stop)


async def _cut(cache: ImageCache, chance: random.Random, key: str) -> None:
    size_bytes = images(COUNT, LARGEST_BYTES)[key].size_bytes
    await _whole(cache, chance, key, tuple(chance.choices(range(size_bytes), k=2)))


async def _stores(cache: ImageCache, chance: random.Random, key: str) -> None:
    content = images(COUNT, LARGEST_BYTES)[key]
    with suppress(CacheUnusable, Abandoned):  # what others read may leave no room, and what is there may be evicted
        await cache.store(blob_of(key, content), Store(content))


async def _evicts(cache: ImageCache, chance: random.Random, key: str) -> None:
    await cache.evict(key)


async def _pins(cache: ImageCache, chance: random.Random, key: str) -> None:
    if await cache.pin(key, pinned=True):
        await _whole(cache, chance, key)
        await cache.pin(key, pinned=False)


async def _lies(cache: ImageCache, chance: random.Random, key: str) -> None:
    """A wrong body has no clean end; a right one is an entry of an earlier life."""
    content = images(COUNT, LARGEST_BYTES)[LIAR]
    store = Store(content, lies_at=chance.randrange(content.size_bytes))
    with suppress(DigestMismatch, FillFailed):
        async with cache.open(blob_of(LIAR, content), store) as reader:
            assert await body_of(reader) == content.read(), f"a lie was served to its end, as a {reader.outcome}"
