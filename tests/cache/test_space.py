"""The limit holds, the oldest go, and what is read stays."""

import asyncio

import pytest

from cache import CacheConfig, ImageCache, Outcome
from cache.sums import SUM_BYTES
from metrics import Instruments
from tests.cache.reading import BLOB, CONTENT, fetch, files_in, read_all
from tests.cache.sources import GatedSource, StoreBroke, blob_of
from tests.content import MIB, Noise


async def test_the_oldest_go_first_and_the_limit_holds(cache: ImageCache, config: CacheConfig) -> None:
    contents = {f"image-{n}": Noise(15 * MIB, seed=n) for n in range(4)}
    for key, content in contents.items():
        await cache.store(blob_of(content, key), GatedSource(content, piece_bytes=MIB))
    async with cache.open(blob_of(contents["image-0"], "image-0"), GatedSource(contents["image-0"])) as reader:
        assert reader.outcome is Outcome.HIT
    late = Noise(16 * MIB, seed=9)
    await cache.store(blob_of(late, "late"), GatedSource(late, piece_bytes=MIB))
    assert [entry.key for entry in await cache.entries()] == ["late", "image-0", "image-3", "image-2"]
    usage = await cache.usage()
    on_disk = sum(path.stat().st_size for path in (config.dir / "entries").rglob("*") if path.is_file())
    assert usage.committed_bytes == on_disk <= config.size_max
    assert usage.reserved_bytes == 0


async def test_a_reader_finishes_although_its_entry_was_evicted(cache: ImageCache, config: CacheConfig) -> None:
    source = GatedSource(CONTENT)
    await cache.store(BLOB, source)
    async with cache.open(BLOB, source) as reader:
        assert await cache.evict(BLOB.key) == CONTENT.size_bytes
        assert files_in(config, "entries") == []
        assert await read_all(reader) == CONTENT.read()
    assert await cache.evict(BLOB.key) is None


async def test_what_is_being_read_stays_and_others_go_past_the_cache(cache: ImageCache, config: CacheConfig) -> None:
    """Unlinked, its bytes would stay on disk until its reader ends, beyond the limit."""
    large = {key: Noise(40 * MIB, seed=n) for n, key in enumerate(("read-slowly", "late"))}
    blobs = {key: blob_of(content, key) for key, content in large.items()}
    sources = {key: GatedSource(content, piece_bytes=MIB) for key, content in large.items()}
    await cache.store(blobs["read-slowly"], sources["read-slowly"])
    async with cache.open(blobs["read-slowly"], sources["read-slowly"]) as reader:
        assert await fetch(cache, sources["late"], blobs["late"]) == (large["late"].read(), Outcome.BYPASS)
        assert files_in(config, "entries") == ["read-slowly", "read-slowly.sums"]
        assert await read_all(reader) == large["read-slowly"].read()
    assert (await fetch(cache, sources["late"], blobs["late"]))[1] is Outcome.MISS


async def test_an_evicted_entry_counts_until_its_last_reader_ends(cache: ImageCache) -> None:
    source = GatedSource(CONTENT)
    await cache.store(BLOB, source)
    full = (await cache.usage()).committed_bytes
    async with cache.open(BLOB, source):
        async with cache.open(BLOB, source):
            await cache.evict(BLOB.key)
        usage = await cache.usage()
        assert (usage.entries, usage.committed_bytes, usage.leaving_bytes) == (0, 0, full - SUM_BYTES * 4)
    assert (await cache.usage()).charged_bytes == 0


async def test_a_failed_fill_counts_until_its_last_reader_ends(cache: ImageCache) -> None:
    source = GatedSource(CONTENT, released=MIB)
    async with cache.open(BLOB, source) as reader:
        assert await reader.beyond(MIB - 1) == MIB  # all that came is written
        source.fail_with(StoreBroke())
        with pytest.raises(StoreBroke):
            await reader.beyond(MIB)
        with pytest.raises(StoreBroke):
            await cache.store(BLOB, source)
        usage = await cache.usage()
        assert (usage.reserved_bytes, usage.leaving_bytes) == (0, MIB)
    assert (await cache.usage()).charged_bytes == 0


async def test_a_client_that_leaves_at_once_leaves_no_promise(config: CacheConfig, instruments: Instruments) -> None:
    """Also not one that a thread makes while the fill is cancelled."""
    async with ImageCache(config.model_copy(update={"on_last_client_gone": "cancel"}), instruments) as cache:
        source = GatedSource(CONTENT, released=0)
        async with asyncio.TaskGroup() as group:
            for turns in range(100):
                asking = group.create_task(fetch(cache, source))
                for _ in range(turns % 10):
                    await asyncio.sleep(0)
                await asyncio.sleep(turns % 7 * 0.0001)
                asking.cancel()
                await asyncio.wait({asking})
        async with asyncio.timeout(30):
            while (await cache.usage()).reserved_bytes:  # noqa: ASYNC110 - the cache has no event for its tests
                await asyncio.sleep(0.01)  # until the last fill has cleaned up
