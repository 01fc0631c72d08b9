"""Why a blob is read, as its source hears it: what is brought in for nobody makes haste when a client comes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from cache import CacheConfig, ImageCache
from metrics import Instruments
from tests.cache.reading import BLOB, CONTENT, read_all
from tests.cache.sources import GatedSource
from tests.content import MIB


@pytest.fixture
async def caches(config: CacheConfig) -> AsyncIterator[list[ImageCache]]:
    """Two workers on one folder."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(ImageCache(config, Instruments())) for _ in range(2)]


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_so():  # noqa: ASYNC110 - what it waits for is no event
            await asyncio.sleep(0.01)


async def test_what_is_stored_for_nobody_is_read_as_a_prewarm(cache: ImageCache) -> None:
    source = GatedSource(CONTENT)

    await cache.store(BLOB, source)

    assert source.purposes == ["prewarm"]


async def test_what_was_found_damaged_is_read_as_a_refetch(cache: ImageCache) -> None:
    source = GatedSource(CONTENT)

    await cache.store(BLOB, source, "refetch")

    assert source.purposes == ["refetch"]


async def test_a_client_that_joins_a_prewarm_makes_it_demand(cache: ImageCache) -> None:
    source = GatedSource(CONTENT, released=MIB)
    async with asyncio.TaskGroup() as group:
        group.create_task(cache.store(BLOB, source))
        await source.asked.wait()
        async with cache.open(BLOB, GatedSource(CONTENT)) as reader:
            assert source.purposes == ["prewarm", "demand"]
            source.release()
            assert await read_all(reader) == CONTENT.read()


async def test_a_prewarm_of_what_a_client_waits_for_changes_nothing(cache: ImageCache) -> None:
    source = GatedSource(CONTENT, released=MIB)
    async with asyncio.TaskGroup() as group, cache.open(BLOB, source) as reader:
        group.create_task(cache.store(BLOB, GatedSource(CONTENT)))
        await asyncio.sleep(0)
        source.release()
        assert await read_all(reader) == CONTENT.read()

    assert source.purposes == []


async def test_a_client_of_another_worker_makes_a_prewarm_demand(caches: list[ImageCache]) -> None:
    source, never = GatedSource(CONTENT, released=MIB), GatedSource(CONTENT)
    async with asyncio.TaskGroup() as group:
        group.create_task(caches[0].store(BLOB, source))
        await source.asked.wait()
        async with caches[1].open(BLOB, never) as reader:
            await until(lambda: source.purposes == ["prewarm", "demand"])
            source.release()
            assert await read_all(reader) == CONTENT.read()

    assert never.opened == 0


async def test_a_prewarm_that_another_worker_follows_for_nobody_stays_one(caches: list[ImageCache]) -> None:
    """Its second worker waits as well, but no client does."""
    source = GatedSource(CONTENT, released=MIB)
    async with asyncio.TaskGroup() as group:
        group.create_task(caches[0].store(BLOB, source))
        await source.asked.wait()
        group.create_task(caches[1].store(BLOB, GatedSource(CONTENT)))
        await asyncio.sleep(1.5)  # more than a heartbeat
        source.release()

    assert source.purposes == ["prewarm"]
