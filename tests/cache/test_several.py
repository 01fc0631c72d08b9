"""Several caches on one folder, as the workers of one Glint have it: they share nothing but the folder."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from cache import CacheConfig, FillFailed, ImageCache, Outcome
from metrics import Instruments
from tests.cache.reading import BLOB, CONTENT, fetch, files_in, read_all
from tests.cache.sources import GatedSource, StoreBroke, blob_of
from tests.content import KIB, MIB, Noise

WORKERS = 3


@asynccontextmanager
async def opened(config: CacheConfig) -> AsyncIterator[list[ImageCache]]:
    """The first one has the file descriptors, the locks and the tasks of a process of its own; so have the others."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(ImageCache(config, Instruments())) for _ in range(WORKERS)]


@pytest.fixture
async def caches(config: CacheConfig) -> AsyncIterator[list[ImageCache]]:
    async with opened(config) as several:
        yield several


async def test_a_thousand_misses_over_all_workers_are_one_store_read(caches: list[ImageCache]) -> None:
    content = Noise(MIB, seed=2)
    sources = [GatedSource(content, piece_bytes=512 * KIB) for _ in caches]
    asks = [
        fetch(cache, source, blob_of(content))
        for cache, source in zip(caches, sources, strict=True)
        for _ in range(1000 // WORKERS)
    ]
    answers = await asyncio.gather(*asks)
    assert {body for body, _ in answers} == {content.read()}
    assert sum(source.opened for source in sources) == 1
    assert sum(source.given_bytes for source in sources) == content.size_bytes


async def test_a_follower_gets_what_is_written_while_the_rest_is_still_to_come(caches: list[ImageCache]) -> None:
    source, never = GatedSource(CONTENT, released=MIB), GatedSource(CONTENT)
    async with caches[0].open(BLOB, source) as leader, caches[1].open(BLOB, never) as follower:
        assert (leader.outcome, follower.outcome) == (Outcome.MISS, Outcome.JOIN)
        for to in (MIB, 2 * MIB, 2 * MIB + 512 * KIB):
            source.release(to)
            async with asyncio.timeout(30):  # it takes 10 ms
                await asyncio.gather(leader.beyond(to - 65 * KIB), follower.beyond(to - 65 * KIB))
        source.release()
        assert await read_all(leader) == await read_all(follower) == CONTENT.read()
    assert never.opened == 0


async def test_a_follower_that_was_busy_gets_at_once_what_was_written_meanwhile(
    caches: list[ImageCache], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who looks rarely while nobody waits is woken."""
    monkeypatch.setattr("cache.follow._IDLE_POLL_S", 3600.0)
    source = GatedSource(CONTENT, released=64 * KIB)
    async with caches[0].open(BLOB, source) as leader, caches[1].open(BLOB, GatedSource(CONTENT)) as follower:
        for to in range(256 * KIB, 2 * MIB, 256 * KIB):
            await asyncio.sleep(0.03)  # it sends, and nobody waits
            source.release(to)
            await leader.beyond(to - 65 * KIB)
            async with asyncio.timeout(30):
                await follower.beyond(to - 65 * KIB)
        source.release()


async def test_a_store_that_hesitates_lets_no_follower_through(caches: list[ImageCache]) -> None:
    """There is no time-out after which followers read the store, while the filler lives."""
    source, others = GatedSource(CONTENT, released=0), [GatedSource(CONTENT) for _ in caches[1:]]
    asks = [asyncio.ensure_future(fetch(caches[0], source))]  # noqa: TID251 - ended below
    await source.asked.wait()
    asks += [asyncio.ensure_future(fetch(cache, other)) for cache, other in zip(caches[1:], others, strict=True)]  # noqa: TID251
    await asyncio.sleep(1.5)
    source.release()
    assert [body for body, _ in await asyncio.gather(*asks)] == [CONTENT.read()] * WORKERS
    assert [other.opened for other in others] == [0] * len(others)


async def test_who_comes_late_to_a_fill_that_has_no_byte_yet_waits_like_the_others(caches: list[ImageCache]) -> None:
    """However slow the store is: the whole image is no part that could be read past the cache."""
    source, never = GatedSource(CONTENT, released=0), GatedSource(CONTENT)
    async with caches[0].open(BLOB, source), caches[1].open(BLOB, never):
        await asyncio.sleep(0.5)  # so long that its speed, which is none, counts as measured
        for cache in caches:
            async with cache.open(BLOB, never) as late:
                assert late.outcome is Outcome.JOIN
        source.release()
        assert await fetch(caches[2], never) == (CONTENT.read(), Outcome.JOIN)
    assert never.opened == 0


async def test_what_one_worker_has_stored_is_a_hit_in_all(caches: list[ImageCache]) -> None:
    await caches[0].store(BLOB, GatedSource(CONTENT))
    for cache in caches:
        assert await fetch(cache, GatedSource(CONTENT)) == (CONTENT.read(), Outcome.HIT)
        assert [entry.key for entry in await cache.entries()] == [BLOB.key]


async def test_storing_waits_for_the_entry_that_another_worker_makes(
    caches: list[ImageCache], config: CacheConfig
) -> None:
    source, never = GatedSource(CONTENT, released=MIB), GatedSource(CONTENT)
    async with caches[0].open(BLOB, source):
        storing = asyncio.ensure_future(caches[1].store(BLOB, never))  # noqa: TID251 - awaited below
        filling = None
        while filling is None or filling.written_bytes < MIB:
            filling = await caches[2].filling(BLOB.key, CONTENT.size_bytes)
            await asyncio.sleep(0.01)
        assert filling.size_bytes == CONTENT.size_bytes
        source.release()
        await storing
    assert files_in(config, "entries") == [BLOB.key, f"{BLOB.key}.sums"]
    assert never.opened == 0


async def test_another_worker_goes_on_where_a_filler_ended(config: CacheConfig) -> None:
    """The filler's lock is free when its process dies; here it is closed, which does the same."""
    async with ImageCache(config, Instruments()) as survivor:
        source, more = GatedSource(CONTENT, released=2 * MIB), GatedSource(CONTENT)
        async with AsyncExitStack() as life:
            dying = await life.enter_async_context(ImageCache(config, Instruments()))
            async with dying.open(BLOB, source) as leader:
                await leader.beyond(MIB)
                following = survivor.open(BLOB, more)
                follower = await following.__aenter__()
                reading = asyncio.ensure_future(read_all(follower))  # noqa: TID251 - awaited below
                assert await leader.beyond(2 * MIB - 1) == 2 * MIB  # all that came is written
        assert await reading == CONTENT.read()
        await following.__aexit__(None, None, None)
        assert more.offsets == [2 * MIB]
        await survivor.store(BLOB, more)
        assert [entry.key for entry in await survivor.entries()] == [BLOB.key]


async def test_a_filler_that_hangs_is_gone_round_and_can_do_no_harm_when_it_wakes(
    config: CacheConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after SIGSTOP: its lock is held, its file stands still, its heart does not beat."""
    monkeypatch.setattr("cache.flights.Flights.beat", lambda _self, _count: None)
    hanging, well = GatedSource(CONTENT, released=2 * MIB), GatedSource(CONTENT)
    async with opened(config.model_copy(update={"stall_s": 2})) as caches:
        async with caches[0].open(BLOB, hanging) as leader, caches[1].open(BLOB, well) as follower:
            assert await leader.beyond(2 * MIB - 1) == 2 * MIB
            assert await read_all(follower) == CONTENT.read()
            assert well.offsets == [2 * MIB]
            hanging.release()  # it wakes, and has another file than the one that counts
            assert await read_all(leader) == CONTENT.read()
        await caches[2].store(BLOB, GatedSource(CONTENT))
        assert await fetch(caches[2], GatedSource(CONTENT)) == (CONTENT.read(), Outcome.HIT)
        async with asyncio.timeout(30):
            while files_in(config, "fills") or files_in(config, "leaving"):  # noqa: ASYNC110 - no event for tests
                await asyncio.sleep(0.05)
        assert (await caches[0].usage()).reserved_bytes == 0


async def test_followers_of_a_fill_that_fails_are_told_too(caches: list[ImageCache], config: CacheConfig) -> None:
    source, other = GatedSource(CONTENT, released=MIB), GatedSource(CONTENT)
    async with caches[0].open(BLOB, source) as leader, caches[1].open(BLOB, other) as follower:
        await asyncio.gather(leader.beyond(0), follower.beyond(0))
        source.fail_with(StoreBroke())
        with pytest.raises(StoreBroke):
            await leader.beyond(MIB)
        with pytest.raises(FillFailed):
            await follower.beyond(MIB)
    assert other.opened == 0
    assert await fetch(caches[2], GatedSource(CONTENT)) == (CONTENT.read(), Outcome.MISS)


async def test_a_wrong_digest_cuts_the_followers_of_all_workers(caches: list[ImageCache], config: CacheConfig) -> None:
    source = GatedSource(CONTENT, released=MIB, flip_at=3)
    async with caches[0].open(BLOB, source), caches[1].open(BLOB, GatedSource(CONTENT)) as follower:
        await follower.beyond(0)
        source.release()
        with pytest.raises(FillFailed):
            await follower.beyond(CONTENT.size_bytes - 1)
    assert files_in(config, "entries") == []


async def test_a_refusal_is_asked_for_by_each_worker_itself(caches: list[ImageCache]) -> None:
    """So that each can tell its client what the store has said."""
    sources = [GatedSource(CONTENT, refuse=StoreBroke()) for _ in caches]
    answers = await asyncio.gather(
        *(fetch(cache, source) for cache, source in zip(caches, sources, strict=True)), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [StoreBroke] * WORKERS


async def test_what_one_worker_reads_another_does_not_evict(caches: list[ImageCache], config: CacheConfig) -> None:
    large = {key: Noise(40 * MIB, seed=n) for n, key in enumerate(("read-slowly", "late"))}
    blobs = {key: blob_of(content, key) for key, content in large.items()}
    sources = {key: GatedSource(content, piece_bytes=MIB) for key, content in large.items()}
    await caches[0].store(blobs["read-slowly"], sources["read-slowly"])
    async with caches[1].open(blobs["read-slowly"], sources["read-slowly"]) as reader:
        assert await fetch(caches[2], sources["late"], blobs["late"]) == (large["late"].read(), Outcome.BYPASS)
        assert await read_all(reader) == large["read-slowly"].read()
    assert (await fetch(caches[2], sources["late"], blobs["late"]))[1] is Outcome.MISS
    assert (await caches[0].usage()).charged_bytes <= config.size_max


async def test_an_entry_that_is_evicted_in_one_worker_is_read_to_its_end_in_another(
    caches: list[ImageCache], config: CacheConfig
) -> None:
    await caches[0].store(BLOB, GatedSource(CONTENT))
    async with caches[1].open(BLOB, GatedSource(CONTENT)) as reader:
        assert await caches[0].evict(BLOB.key) == CONTENT.size_bytes
        assert (await caches[2].usage()).leaving_bytes == CONTENT.size_bytes
        again = GatedSource(CONTENT)
        assert await fetch(caches[1], again) == (CONTENT.read(), Outcome.MISS)
        assert await read_all(reader) == CONTENT.read()
    await caches[1].store(BLOB, again)
    async with asyncio.timeout(30):
        while (await caches[2].usage()).leaving_bytes:  # noqa: ASYNC110 - another one may look at the file just now
            await asyncio.sleep(0.01)


async def test_promises_of_all_workers_count_against_one_limit(caches: list[ImageCache], config: CacheConfig) -> None:
    contents = [Noise(30 * MIB, seed=n) for n in range(WORKERS)]
    sources = [GatedSource(content, released=MIB, piece_bytes=MIB) for content in contents]
    asks = [
        asyncio.ensure_future(fetch(cache, source, blob_of(content, f"image-{n}")))  # noqa: TID251 - awaited below
        for n, (cache, source, content) in enumerate(zip(caches, sources, contents, strict=True))
    ]
    for source in sources:
        await source.asked.wait()
    usage = await caches[0].usage()
    assert 60 * MIB <= usage.reserved_bytes <= config.size_max
    for source in sources:
        source.release()
    assert sorted(outcome for _, outcome in await asyncio.gather(*asks)) == ["bypass", "miss", "miss"]


async def test_who_waits_too_long_for_a_turn_in_another_worker_goes_past_the_cache(config: CacheConfig) -> None:
    single = config.model_copy(update={"fills_max": 1, "fill_idle_s": 1.5})
    waiting = Noise(MIB, seed=3)
    async with ImageCache(single, Instruments()) as busy, ImageCache(single, Instruments()) as other:
        trickling = GatedSource(CONTENT, released=MIB)
        async with busy.open(BLOB, trickling) as first, AsyncExitStack() as stack:
            await first.beyond(0)
            queued = asyncio.ensure_future(busy.store(blob_of(waiting, "queued"), GatedSource(waiting)))  # noqa: TID251 - awaited below
            stack.push_async_callback(lambda: queued)
            while await other.filling("queued") is None:  # noqa: ASYNC110 - no event for tests
                await asyncio.sleep(0.01)
            asking = asyncio.ensure_future(fetch(other, GatedSource(waiting), blob_of(waiting, "queued")))  # noqa: TID251 - awaited below
            for to in range(MIB, 2 * MIB, 8 * KIB):
                await asyncio.sleep(0.1)  # slowly, not stalled
                trickling.release(to)
                if asking.done():
                    break
            assert await asking == (waiting.read(), Outcome.BYPASS)
            trickling.release()
        assert await fetch(other, GatedSource(waiting), blob_of(waiting, "queued")) == (waiting.read(), Outcome.HIT)
