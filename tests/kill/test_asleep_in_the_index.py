"""A worker hangs with the write lock of the index, which nobody can take from it: the others go on serving."""

import asyncio
import os
import signal
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, closing
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from cache import CacheConfig, ImageCache, Outcome
from metrics import Instruments
from tests.cache.reading import fetch, read_all
from tests.cache.sources import GatedSource, blob_of
from tests.content import KIB, MIB, Noise
from tests.kill.asleep import MINE, MY_KEY, fall_asleep, is_stopped
from tests.kill.checking import entries_in, files_in
from tests.kill.images import config_of
from tests.kill.workers import start

_BUSY_S = 2.0  # as long as others wait for the lock
_MISSES = 12  # which would take half a minute in each cache if each waited so long
_END_S = 30
HOT, GROWING = Noise(MIB, seed=2), Noise(2 * MIB, seed=3)
COLD = {f"im-cold-{n}": Noise(200 * KIB + n, seed=4) for n in range(_MISSES)}


@pytest.fixture
async def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[ImageCache]]:
    monkeypatch.setattr("cache.index_file._BUSY_S", _BUSY_S)
    async with AsyncExitStack() as stack:
        config = config_of(tmp_path / "cache", 64 * MIB)
        yield [await stack.enter_async_context(ImageCache(config, Instruments())) for _ in range(2)]


@pytest.mark.parametrize(
    "method", ["promise", *(pytest.param(name, marks=pytest.mark.long) for name in ("commit", "touch"))]
)
async def test_hits_are_served_at_once_misses_past_the_cache_and_all_is_right_when_it_wakes(
    tmp_path: Path, caches: list[ImageCache], method: str
) -> None:
    config = config_of(tmp_path / "cache", 64 * MIB)
    await caches[0].store(hot := blob_of(HOT, "im-hot"), GatedSource(HOT))
    growing, source = blob_of(GROWING, "im-growing"), GatedSource(GROWING, released=MIB)
    async with caches[0].open(growing, source) as filling:
        await filling.beyond(0)
        sleeper = await _asleep(config, method)
        try:
            assert not _can_be_written(config)
            async with asyncio.timeout(_BUSY_S):
                for cache in caches * 5:
                    assert await fetch(cache, GatedSource(HOT), hot) == (HOT.read(), Outcome.HIT)
            async with asyncio.timeout(_END_S):
                answers = await asyncio.gather(*(_miss(cache, key) for cache in caches for key in COLD))
            assert answers == [Outcome.BYPASS] * len(answers)
            async with asyncio.timeout(_END_S), caches[1].open(growing, GatedSource(GROWING)) as following:
                source.release()
                assert (await read_all(following), following.outcome) == (GROWING.read(), Outcome.JOIN)
            assert not _can_be_written(config)
        finally:
            os.kill(sleeper.pid or 0, signal.SIGCONT)
            await asyncio.to_thread(sleeper.join, _END_S)
    assert sleeper.exitcode == 0
    await _all_can_be_had_and_is_counted(caches, config)


async def _asleep(config: CacheConfig, method: str) -> ForkServerProcess:
    sleeper = start(fall_asleep, config, method)
    try:
        await _until(lambda: is_stopped(sleeper.pid or 0))
    except BaseException:
        sleeper.kill()
        raise
    return sleeper


async def _miss(cache: ImageCache, key: str) -> Outcome:
    body, outcome = await fetch(cache, GatedSource(COLD[key]), blob_of(COLD[key], key))
    assert body == COLD[key].read()
    return outcome


async def _all_can_be_had_and_is_counted(caches: list[ImageCache], config: CacheConfig) -> None:
    known = {**COLD, "im-hot": HOT, "im-growing": GROWING, MY_KEY: MINE}
    await _until(lambda: not files_in(config.dir, "fills"))
    for key, content in known.items():
        await caches[1].store(blob_of(content, key), GatedSource(content))
        outcomes = [(await fetch(cache, GatedSource(content), blob_of(content, key)))[1] for cache in caches]
        assert outcomes == [Outcome.HIT] * 2
    async with asyncio.timeout(_END_S):
        # What could not be noted is noted later.
        while {entry.key for entry in await caches[0].entries()} != known.keys():  # noqa: ASYNC110 - as below
            await asyncio.sleep(0.1)
    usage = await caches[1].usage()
    assert usage.reserved_bytes == 0
    assert usage.committed_bytes == sum(path.stat().st_size for path in files_in(config.dir, "entries"))
    assert entries_in(config.dir).keys() == known.keys()


def _can_be_written(config: CacheConfig) -> bool:
    with closing(sqlite3.connect(config.dir / "index.db", timeout=0, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        connection.execute("ROLLBACK")
        return True


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(_END_S):
        while not holds():  # noqa: ASYNC110 - no event tells of other processes
            await asyncio.sleep(0.02)
