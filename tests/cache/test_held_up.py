"""A disk that hangs in what a fill needs of it: who has no byte yet goes past the cache, in any worker."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from cache import Blob, CacheConfig, ImageCache
from cache.errors import HeldUp
from cache.holding import DiskWait
from metrics import Instruments
from tests.cache.reading import BLOB, CONTENT, fetch, read_all
from tests.cache.sources import GatedSource, blob_of
from tests.content import MIB, Noise
from tests.disk.shim import DiskFaults

OTHER = Noise(MIB, seed=5)
OTHER_BLOB = blob_of(OTHER, "image-2")
ENOUGH_S = 20  # less than what a disk may hang before the cache gives it up


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cache.holding._STEP_S", 0.03)


@pytest.fixture
def config(config: CacheConfig) -> CacheConfig:
    """Room for one image at a time, one fill at a time, and ranges that wait for a fill however long it takes."""
    size_max = CONTENT.size_bytes + MIB // 2
    changes = {"size_max": size_max, "fills_max": 1, "range_wait_s": 1e6, "range_reads_max": 0, "min_age_s": 0}
    full = {"evict_from_percent": 100, "evict_to_percent": 100}
    return config.model_copy(update=changes | full)


@pytest.fixture
async def workers(config: CacheConfig) -> AsyncIterator[list[ImageCache]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(ImageCache(config, Instruments())) for _ in range(2)]


async def is_sent_away(cache: ImageCache, source: GatedSource, blob: Blob = BLOB, start: int = 0) -> bool:
    """Whether a client that has no byte yet is told to go past the cache, instead of being given one."""
    async with cache.open(blob, source, start=start) as reader:
        if not reader.has_file:
            return True
        try:
            await reader.beyond(start, has_begun=False)
        except HeldUp:
            return True
        return False


@pytest.mark.parametrize("calls", [("fchmod",), ("write", "pwrite", "pwritev")], ids=["marking", "writing"])
async def test_who_has_no_byte_yet_is_sent_away_from_a_fill_whose_disk_hangs(
    workers: list[ImageCache], config: CacheConfig, calls: tuple[str, ...]
) -> None:
    """The fill itself goes on when the disk does, and so does who has begun to receive."""
    source, other = GatedSource(CONTENT), GatedSource(OTHER)
    with DiskFaults(config.dir) as disk:
        disk.hang(calls)
        async with asyncio.TaskGroup() as group:
            filling = group.create_task(workers[0].store(BLOB, source))
            async with asyncio.timeout(ENOUGH_S):
                away = [await is_sent_away(worker, source) for worker in workers for _ in range(2)]
                in_line = [await is_sent_away(worker, other, OTHER_BLOB) for worker in workers]
            assert (away, in_line) == ([True] * 4, [True] * 2)
            assert not filling.done()
            disk.heal()
    assert source.opened == 1
    for worker in workers:  # a hit, or not: the image that was next in line needs the room
        body, _ = await fetch(worker, GatedSource(CONTENT))
        assert body == CONTENT.read()


async def test_a_range_that_waits_for_a_running_fill_is_sent_away_and_who_has_begun_waits(
    workers: list[ImageCache], config: CacheConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = GatedSource(CONTENT, released=MIB)
    monkeypatch.setattr("cache.holding._STEP_S", ENOUGH_S)  # until it hangs, the disk is only slow
    async with workers[0].open(BLOB, source) as begun:
        await begun.beyond(MIB - 1)
        monkeypatch.setattr("cache.holding._STEP_S", 0.03)
        with DiskFaults(config.dir) as disk:
            disk.hang(("write", "pwrite", "pwritev"))
            source.release()
            async with asyncio.timeout(ENOUGH_S):
                assert [await is_sent_away(worker, source, start=2 * MIB) for worker in workers] == [True] * 2
                assert [await is_sent_away(worker, source) for worker in workers] == [False] * 2  # that is there
            reading = asyncio.ensure_future(read_all(begun))  # noqa: TID251 - awaited below
            disk.heal()
            assert await reading == CONTENT.read()
    assert source.opened == 1


async def test_who_waits_for_room_that_a_hanging_disk_does_not_give_is_sent_away(
    workers: list[ImageCache], config: CacheConfig
) -> None:
    await workers[0].store(OTHER_BLOB, GatedSource(OTHER))
    with DiskFaults(config.dir) as disk:
        disk.hang("unlink")
        async with asyncio.timeout(ENOUGH_S):
            assert [await is_sent_away(worker, GatedSource(CONTENT)) for worker in workers] == [True] * 2


def wait_telling(told: list[str]) -> DiskWait:
    return DiskWait(lambda: told.append("begun"), lambda: told.append("ended"))


async def test_a_process_that_was_held_up_does_not_take_it_for_a_slow_disk() -> None:
    told: list[str] = []
    with wait_telling(told)():
        await asyncio.sleep(0)
        time.sleep(1)  # noqa: ASYNC251 - as a host does that stops a virtual machine
        await asyncio.sleep(0)
    assert told == []


async def test_a_disk_that_shows_signs_of_life_keeps_nobody_waiting_too_long() -> None:
    told: list[str] = []
    wait, asked, is_alive = wait_telling(told), 0, True

    def alive() -> bool:
        nonlocal asked
        asked += 1
        return is_alive

    with wait(alive):
        async with asyncio.timeout(ENOUGH_S):
            while asked < 20:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.01)
        assert told == []
        is_alive = False
        async with asyncio.timeout(ENOUGH_S):
            while not told:  # noqa: ASYNC110 - likewise
                await asyncio.sleep(0.01)
    assert told == ["begun", "ended"]
