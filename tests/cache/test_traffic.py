"""Clients come first: what is brought in for none of them holds back while some worker of the folder serves any.

Beside clients there is one byte in a second here, and clients stay for an hour: what holds back does so for good.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path

import pytest

from cache import Blob, CacheConfig, ImageCache
from cache.demand import Demand
from cache.traffic import HELD_MAX_S, PATIENT_BYTES, Pace, Traffic, Turn
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


def came(cache: ImageCache) -> None:
    """A client has been there, and was served."""
    with cache.client():
        pass


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


def test_what_went_while_nobody_was_there_is_not_paid_when_somebody_comes() -> None:
    assert Traffic(1).turn(MIB, 10.0) == Turn(due_s=10.0)


async def test_a_client_who_came_before_the_folder_was_open_is_told_to_other_workers_then(tmp_path: Path) -> None:
    with closing(Demand(tmp_path / "demand.lock")) as mine, closing(Demand(tmp_path / "demand.lock")) as theirs:
        here, there = Traffic(1), Traffic(1)
        there.open(theirs)
        here.came()
        assert here.is_there(time.monotonic())
        assert not there.is_there(time.monotonic())
        here.open(mine)
        await until(lambda: there.is_there(time.monotonic()))
        here.close()
        there.close()


@pytest.mark.parametrize(
    ("now_s", "awaited_until_s", "held_s"),
    [
        (9.0, 0.0, 1.0),  # by the rate
        (9.0, 9.5, 1.0),
        (10.0, 0.0, 0.0),
        (10.0, 10.125, 0.125),  # a client came who has nothing yet
        (10.125, 10.125, 0.0),
        (10.125, 99.0, HELD_MAX_S - 0.125),  # and others after him
        (10.0 + HELD_MAX_S, 99.0, 0.0),
    ],
)
def test_a_piece_waits_for_its_rate_and_a_while_for_clients(
    now_s: float, awaited_until_s: float, held_s: float
) -> None:
    assert Turn(due_s=10.0).held_s(now_s, awaited_until_s=awaited_until_s) == held_s


@pytest.mark.parametrize(
    ("pieces", "room_bytes", "count"),
    [([3, 3, 3], 9, 3), ([3, 3, 3], 8, 2), ([3, 3, 3], 2, 1), ([3], 0, 1), ([], 5, 0)],
)
def test_a_call_takes_the_pieces_that_fit_and_one_at_least(pieces: list[int], room_bytes: int, count: int) -> None:
    assert fitting([bytes(size) for size in pieces], room_bytes) == count


@pytest.fixture
def _clients_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever came waits for his first byte as long as he stays, and everything else waits for him."""
    monkeypatch.setattr("cache.traffic.WAITED_FOR_S", 3600)
    monkeypatch.setattr("cache.traffic.HELD_MAX_S", 3600)


@pytest.mark.usefixtures("_clients_wait")
async def test_what_has_rate_enough_waits_for_clients_without_a_byte_until_the_last_has_gone(
    config: CacheConfig,
) -> None:
    prewarmed = GatedSource(CONTENT)
    quick = config.model_copy(update={"background_rate_beside_demand": 1 << 40})
    async with another_worker(quick) as cache, asyncio.TaskGroup() as group:
        with cache.client():
            with cache.client():
                storing = group.create_task(cache.store(BLOB, prewarmed))
                await until_held(prewarmed)
            await until_held(prewarmed)
            assert not storing.done()
        async with asyncio.timeout(20):
            await storing


@pytest.mark.usefixtures("_clients_wait")
async def test_the_check_of_all_entries_waits_for_clients_without_a_byte(
    config: CacheConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cache.housekeeping._FIRST_SCRUB_S", 0.05)
    instruments = Instruments()
    eager = config.model_copy(update={"scrub_interval_s": 0.05, "scrub_rate_max": 1024 * MIB})

    def checked_bytes() -> float:
        return instruments.registry.get_sample_value("glint_scrub_bytes_total") or 0

    async with ImageCache(eager, instruments) as cache:
        await cache.store(BLOB, GatedSource(CONTENT))
        with cache.client():
            came_bytes = checked_bytes()
            await until(lambda: checked_bytes() > 0)
            await asyncio.sleep(0.2)
            assert checked_bytes() <= came_bytes + MIB  # an extent is counted before it waits
        await until(lambda: checked_bytes() > came_bytes + MIB + CONTENT.size_bytes)


async def test_pieces_are_small_beside_clients_and_as_they_come_without_any(cache: ImageCache) -> None:
    async def given() -> AsyncIterator[bytes]:
        yield OTHER.read()
        yield b"end"

    assert [len(piece) async for piece in cache.unhurried(given())] == [MIB, 3]

    came(cache)
    beside = cache.unhurried(given())
    assert len(await anext(beside)) == PATIENT_BYTES
    await beside.aclose()


async def test_a_prewarm_takes_one_piece_while_a_client_has_all_of_his(cache: ImageCache) -> None:
    prewarmed, other = GatedSource(CONTENT), GatedSource(OTHER)
    came(cache)
    async with asyncio.TaskGroup() as group:
        storing = group.create_task(cache.store(BLOB, prewarmed))
        await until_held(prewarmed)

        assert (await fetch(cache, other, OTHER_BLOB))[0] == OTHER.read()

        assert prewarmed.given_bytes <= PIECE_BYTES
        storing.cancel()


async def test_a_prewarm_that_holds_back_makes_haste_when_a_client_joins_it(cache: ImageCache) -> None:
    source = GatedSource(CONTENT)
    came(cache)
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
        came(other)
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
    came(cache)
    async with asyncio.timeout(20):
        await cache.store(BLOB, GatedSource(CONTENT))


async def test_an_entry_is_read_back_slowly_beside_clients(cache: ImageCache, config: CacheConfig) -> None:
    await cache.store(BLOB, GatedSource(CONTENT))
    async with asyncio.TaskGroup() as group, another_worker(config) as other:
        came(other)
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
        came(cache)
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
