"""Clients come first: what is brought in for none of them holds back while some worker of the folder serves any.

Beside clients there is one byte in a second here, and clients stay for an hour: what holds back does so for good.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from cache import Blob, CacheConfig, ImageCache
from cache.traffic import Pace
from cache.writer import fitting
from metrics import Instruments
from tests.cache.reading import BLOB, CONTENT, fetch, read_all
from tests.cache.sources import GatedSource, blob_of
from tests.content import MIB, Noise
from tests.origin import Origin
from upstream.stores import LocationsSource, StoresConfig, open_stores
from upstream.types import Location

PIECE_BYTES = 64 * 1024
OTHER = Noise(MIB, seed=2)
OTHER_BLOB = blob_of(OTHER, "other")


@pytest.fixture
def config(config: CacheConfig) -> CacheConfig:
    return config.model_copy(update={"background_rate_beside_demand": 1})


@pytest.fixture(autouse=True)
def _clients_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cache.traffic.QUIET_S", 3600)


@asynccontextmanager
async def another_worker(config: CacheConfig) -> AsyncIterator[ImageCache]:
    async with ImageCache(config, Instruments()) as cache:
        yield cache


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_so():  # noqa: ASYNC110 - what it waits for is no event
            await asyncio.sleep(0.01)


async def until_held(source: GatedSource) -> None:
    """It has given a piece, and nobody takes the next one."""
    await until(lambda: source.given_bytes > 0)
    for _ in range(20):
        await asyncio.sleep(0.005)
    assert source.given_bytes <= PIECE_BYTES


def test_those_who_go_at_one_rate_pay_one_after_the_other() -> None:
    pace = Pace(100)
    assert [pace.pay(50, now_s) for now_s in (10.0, 10.0, 10.25)] == [10.5, 11.0, 11.5]


def test_a_rate_that_was_not_used_leaves_no_burst() -> None:
    pace = Pace(100)
    pace.pay(50, 10.0)
    assert pace.pay(50, 1000.0) == 1000.5


@pytest.mark.parametrize(
    ("pieces", "room_bytes", "count"),
    [([3, 3, 3], 9, 3), ([3, 3, 3], 8, 2), ([3, 3, 3], 2, 1), ([3], 0, 1), ([], 5, 0)],
)
def test_a_call_takes_the_pieces_that_fit_and_one_at_least(pieces: list[int], room_bytes: int, count: int) -> None:
    assert fitting([bytes(size) for size in pieces], room_bytes) == count


async def test_a_prewarm_takes_one_piece_while_a_client_has_all_of_his(cache: ImageCache) -> None:
    prewarmed, other = GatedSource(CONTENT), GatedSource(OTHER)
    cache.client_came()
    async with asyncio.TaskGroup() as group:
        storing = group.create_task(cache.store(BLOB, prewarmed))
        await until_held(prewarmed)

        assert (await fetch(cache, other, OTHER_BLOB))[0] == OTHER.read()

        assert prewarmed.given_bytes <= PIECE_BYTES
        storing.cancel()


async def test_a_prewarm_that_holds_back_makes_haste_when_a_client_joins_it(cache: ImageCache) -> None:
    source = GatedSource(CONTENT)
    cache.client_came()
    async with asyncio.TaskGroup() as group:
        group.create_task(cache.store(BLOB, source))
        await until_held(source)

        async with asyncio.timeout(20), cache.open(BLOB, GatedSource(CONTENT)) as reader:
            assert await read_all(reader) == CONTENT.read()

    assert source.opened == 1


async def test_a_client_of_another_worker_counts_until_that_worker_is_gone(
    cache: ImageCache, config: CacheConfig
) -> None:
    source = GatedSource(CONTENT)
    async with asyncio.TaskGroup() as group, another_worker(config) as other:
        other.client_came()
        group.create_task(cache.store(BLOB, source))
        await until_held(source)

    assert await cache.has(BLOB.key)


async def test_a_client_who_is_given_a_fill_counts_as_long_as_it_comes_on(
    cache: ImageCache, config: CacheConfig
) -> None:
    source = GatedSource(CONTENT)
    async with asyncio.TaskGroup() as group, another_worker(config) as other:
        await fetch(other, GatedSource(OTHER), OTHER_BLOB)
        group.create_task(cache.store(BLOB, source))
        await until_held(source)


async def test_prewarms_hold_no_prewarms_back(cache: ImageCache) -> None:
    async with asyncio.timeout(20):
        await cache.store(BLOB, GatedSource(CONTENT))
        await cache.store(OTHER_BLOB, GatedSource(OTHER))


async def test_all_go_on_when_no_client_came_for_a_moment(cache: ImageCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cache.traffic.QUIET_S", 0.2)
    cache.client_came()
    async with asyncio.timeout(20):
        await cache.store(BLOB, GatedSource(CONTENT))


async def test_an_entry_is_read_back_slowly_beside_clients(cache: ImageCache, config: CacheConfig) -> None:
    await cache.store(BLOB, GatedSource(CONTENT))
    async with asyncio.TaskGroup() as group, another_worker(config) as other:
        other.client_came()
        proving = group.create_task(cache.store(BLOB, GatedSource(CONTENT)))
        given_up = group.create_task(cache.store(BLOB, GatedSource(CONTENT)))
        await fetch(other, GatedSource(OTHER), OTHER_BLOB)
        given_up.cancel()
        async with asyncio.timeout(20):
            await asyncio.wait({given_up})
        assert not proving.done()


async def test_a_real_store_gives_a_client_all_and_a_prewarm_next_to_nothing(cache: ImageCache) -> None:
    async with AsyncExitStack() as stack:
        origin = stack.enter_context(Origin())
        config = StoresConfig.model_validate({"default": None, "backends": {"web": {"kind": "http"}}})
        stores = await stack.enter_async_context(open_stores(config, Instruments()))

        def registered(name: str) -> tuple[Blob, LocationsSource]:
            content = Noise(8 * MIB, seed=len(name))
            origin.add(name, content)
            return blob_of(content, name), stores.source([Location(url=origin.url(name))], content.size_bytes)

        disk, wanted = registered("disk"), registered("wanted")
        cache.client_came()
        group = await stack.enter_async_context(asyncio.TaskGroup())
        group.create_task(cache.store(*disk))
        async with asyncio.timeout(20):
            while not await written_bytes(cache, "disk"):  # noqa: ASYNC110 - it is no event
                await asyncio.sleep(0.01)

        async with cache.open(*wanted) as reader:
            assert len(await read_all(reader)) == 8 * MIB
        assert await written_bytes(cache, "disk") <= MIB  # a piece, which is as large as was there

        async with asyncio.timeout(20), cache.open(*disk) as reader:
            assert len(await read_all(reader)) == 8 * MIB
        assert origin.counts("disk").gets == 1


async def written_bytes(cache: ImageCache, key: str) -> int:
    filling = await cache.filling(key)
    return 0 if filling is None else filling.written_bytes
