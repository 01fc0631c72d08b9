"""What a cancelled fill has brought may be kept for who asks next. It is in nobody's way, and not kept for long."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from cache import CacheConfig, ImageCache, Outcome, charge_bytes
from cache.disk import Folder
from metrics import Instruments
from tests.cache.reading import BLOB, CONTENT, fetch, files_in
from tests.cache.sources import GatedSource, blob_of
from tests.content import MIB, Noise

SMALL, OTHER = Noise(MIB, seed=7), Noise(2 * MIB, seed=8)
SMALL_BLOB, OTHER_BLOB = blob_of(SMALL, "image-small"), blob_of(OTHER, "image-other")


@pytest.fixture
def config(config: CacheConfig) -> CacheConfig:
    return config.model_copy(update={"on_last_client_gone": "cancel", "cancel_keep_s": 3600.0, "min_age_s": 0})


@pytest.fixture
async def workers(config: CacheConfig) -> AsyncIterator[list[ImageCache]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(ImageCache(config, Instruments())) for _ in range(2)]


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - files have no event
            await asyncio.sleep(0.01)


async def cancelled_at_one_mib(cache: ImageCache, config: CacheConfig) -> None:
    """A fill of BLOB that its last client has left; its file is anybody's."""
    source = GatedSource(CONTENT, released=MIB)
    async with cache.open(BLOB, source) as reader:
        assert await reader.beyond(MIB - 1) == MIB
    await until(lambda: source.closed == 1 and marks(config) == ["660"] and is_free(config))


def marks(config: CacheConfig) -> list[str]:
    return [f"{path.stat().st_mode & 0o777:o}" for path in (config.dir / "fills").iterdir()]


def is_free(config: CacheConfig) -> bool:
    """Whether its filler has let go of it, which it does a moment after it has marked it."""
    return all(map(Folder(config.dir).is_orphan, (config.dir / "fills").iterdir()))


async def test_who_asks_next_in_any_worker_has_it_gone_on_with(workers: list[ImageCache], config: CacheConfig) -> None:
    await cancelled_at_one_mib(workers[0], config)
    assert await workers[1].filling(BLOB.key) is None
    source = GatedSource(CONTENT)
    assert await fetch(workers[1], source) == (CONTENT.read(), Outcome.MISS)
    assert source.offsets == [MIB]
    await workers[1].store(BLOB, source)
    assert await fetch(workers[0], source) == (CONTENT.read(), Outcome.HIT)
    assert source.opened == 1


async def test_a_client_of_another_worker_who_follows_it_goes_on_with_it_at_once(
    workers: list[ImageCache], config: CacheConfig
) -> None:
    first, second = GatedSource(CONTENT, released=MIB), GatedSource(CONTENT)
    async with workers[0].open(BLOB, first) as leaving:
        assert await leaving.beyond(MIB - 1) == MIB
        following = asyncio.ensure_future(fetch(workers[1], second))  # noqa: TID251 - awaited below
        await until(lambda: bool(workers[1]._flights.get(BLOB.key)))
        async with workers[1].open(BLOB, second) as joined:
            assert await joined.beyond(0)
    assert (await following)[0] == CONTENT.read()
    assert second.offsets == [MIB]


async def test_it_counts_and_goes_first_when_room_is_needed(config: CacheConfig) -> None:
    room = sum(charge_bytes(content.size_bytes) for content in (CONTENT, SMALL)) + MIB
    full = {"size_max": room, "evict_from_percent": 100, "evict_to_percent": 100}
    config = config.model_copy(update=full)
    async with ImageCache(config, Instruments()) as cache:
        await cache.store(SMALL_BLOB, GatedSource(SMALL))
        await cancelled_at_one_mib(cache, config)
        assert (await cache.usage()).charged_bytes == room - MIB
        await cache.store(OTHER_BLOB, GatedSource(OTHER))
        assert files_in(config, "fills") == []
        assert {entry.key for entry in await cache.entries()} == {SMALL_BLOB.key, OTHER_BLOB.key}
        assert (await cache.usage()).reserved_bytes == 0


async def test_it_goes_first_ahead_of_need(config: CacheConfig) -> None:
    full = {"size_max": 8 * MIB, "evict_from_percent": 100, "evict_to_percent": 50}
    config = config.model_copy(update=full)
    async with ImageCache(config, Instruments()) as cache:
        await cache.store(OTHER_BLOB, GatedSource(OTHER))
        await cancelled_at_one_mib(cache, config)
        assert await cache.prune() == (1, MIB)
        assert files_in(config, "fills") == []
        assert [entry.key for entry in await cache.entries()] == [OTHER_BLOB.key]


@pytest.mark.parametrize("how", ["its time is over", "at the next start"])
async def test_it_goes_by_itself_and_nobody_fetches_the_rest(
    config: CacheConfig, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr("cache.housekeeping._EVERY_S", 0.05)
    monkeypatch.setattr("cache.books._ORPHAN_S", 0.2)
    lost: list[str] = []
    async with ImageCache(config, Instruments()) as cache:
        cache.when_lost(lost.append)
        await cancelled_at_one_mib(cache, config)
        await asyncio.sleep(0.5)  # some turns of the housekeeping
        assert marks(config) == ["660"]
        if how == "its time is over":
            monkeypatch.setattr("time.time", lambda: 1e10)
            await until(lambda: files_in(config, "fills") == [])
    async with ImageCache(config, Instruments()) as cache:
        cache.when_lost(lost.append)
        await until(lambda: files_in(config, "fills") == [])
        assert (await cache.usage()).reserved_bytes == 0
        source = GatedSource(CONTENT)
        assert (await fetch(cache, source))[0] == CONTENT.read()
        assert source.offsets == [0]
    assert lost == []
