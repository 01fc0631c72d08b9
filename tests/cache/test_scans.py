"""A sweep over many images, through caches that share a folder: what was used again stays."""

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import closing

import pytest

from cache import CacheConfig, ImageCache, Outcome
from metrics import Instruments
from tests.cache.reading import BLOB, CONTENT, fetch, read_all
from tests.cache.sources import GatedSource, blob_of
from tests.content import KIB, MIB, Noise

HOT = {f"hot-{n}": Noise(128 * KIB, seed=n) for n in range(8)}
SWEPT = {f"swept-{n}": Noise(128 * KIB, seed=100 + n) for n in range(160)}  # ten times what the cache holds


@pytest.fixture
def small(config: CacheConfig, monkeypatch: pytest.MonkeyPatch) -> CacheConfig:
    monkeypatch.setattr("os.fsync", lambda _fd: None)  # nothing here is about power cuts
    return config.model_copy(update={"size_max": 2 * MIB})


async def ask(cache: ImageCache, images: dict[str, Noise]) -> Sequence[Outcome]:
    """One after the other: what is not an entry yet could not go for the next one."""
    outcomes = []
    for key, content in images.items():
        outcomes.append((await fetch(cache, GatedSource(content), blob_of(content, key)))[1])
        while cache._flights._tasks:  # noqa: ASYNC110 - no event for tests
            await asyncio.sleep(0.001)
    return outcomes


async def make_hot(config: CacheConfig) -> None:
    """In another worker, which is gone afterwards."""
    async with ImageCache(config, Instruments()) as cache:
        for key, content in HOT.items():
            await cache.store(blob_of(content, key), GatedSource(content))
        assert set(await ask(cache, HOT)) == {Outcome.HIT}


@pytest.mark.parametrize("min_age_s", [0.0, 600.0])
async def test_what_is_hot_outlasts_a_sweep_that_another_worker_serves(small: CacheConfig, min_age_s: float) -> None:
    config = small.model_copy(update={"min_age_s": min_age_s})
    await make_hot(config)
    async with ImageCache(config, Instruments()) as sweeping, ImageCache(config, Instruments()) as serving:
        assert set(await ask(sweeping, SWEPT)) == {Outcome.MISS}
        assert set(await ask(serving, HOT)) == {Outcome.HIT}
        assert (await sweeping.usage()).charged_bytes <= config.size_max


async def test_with_plain_lru_the_same_sweep_takes_all_of_it(small: CacheConfig) -> None:
    """Also where an earlier run has ranked the entries by the other policy."""
    await make_hot(small)
    config = small.model_copy(update={"policy": "lru"})
    async with ImageCache(config, Instruments()) as cache:
        await ask(cache, dict(list(SWEPT.items())[:40]))
        assert set(await ask(cache, HOT)) == {Outcome.MISS}


async def test_who_wants_no_copy_reads_past_the_cache_and_leaves_no_trace(cache: ImageCache) -> None:
    source = GatedSource(CONTENT)
    for _ in range(2):
        async with cache.open(BLOB, source, may_fill=False) as reader:
            assert (await read_all(reader), reader.outcome) == (CONTENT.read(), Outcome.BYPASS)
    assert source.opened == 2
    assert await cache.entries() == []
    await cache.store(BLOB, source)
    async with cache.open(BLOB, source, may_fill=False) as reader:
        assert (await read_all(reader), reader.outcome) == (CONTENT.read(), Outcome.HIT)
    entry = await cache.entry(BLOB.key)
    assert entry is not None
    assert entry.hits == 0


async def test_who_wants_no_copy_joins_a_fill_that_runs(cache: ImageCache) -> None:
    source = GatedSource(CONTENT, released=MIB)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(fetch(cache, source))
        await source.asked.wait()
        async with cache.open(BLOB, source, may_fill=False) as reader:
            assert reader.outcome is Outcome.JOIN
            source.release()
            assert await read_all(reader) == CONTENT.read()
    assert first.result() == (CONTENT.read(), Outcome.MISS)
    assert source.opened == 1


async def test_an_index_of_an_older_version_is_made_anew_of_the_folder(
    config: CacheConfig, instruments: Instruments
) -> None:
    source = GatedSource(CONTENT)
    async with ImageCache(config, instruments) as cache:
        await cache.store(BLOB, source)
    for path in config.dir.glob("index.db*"):
        path.unlink()
    with closing(sqlite3.connect(config.dir / "index.db")) as older:
        older.execute("CREATE TABLE entries (key TEXT PRIMARY KEY, size_bytes INTEGER NOT NULL, used INTEGER) STRICT")
        older.execute("INSERT INTO entries VALUES ('image-9', 1, 1)")
        older.commit()
    async with ImageCache(config, Instruments()) as cache:
        assert [entry.key for entry in await cache.entries()] == [BLOB.key]
        assert await fetch(cache, source) == (CONTENT.read(), Outcome.HIT)
    assert source.opened == 1
