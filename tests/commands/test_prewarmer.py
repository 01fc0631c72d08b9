"""What the hands at the shared queue promise. Two prewarmers of one folder stand for two workers."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from cache import (
    Blob,
    CacheConfig,
    CacheState,
    CacheStatus,
    DiskFailed,
    ImageCache,
    Prewarmer,
    Proof,
    Queue,
    Resolve,
    Source,
    prewarm,
)
from cache.ledger import Ledger
from metrics import Instruments
from tests.cache.sources import GatedSource, blob_of
from tests.content import MIB, Noise

CONTENT = Noise(MIB, seed=5)
KEY = "image-1"


def known(sources: Mapping[str, Source]) -> Resolve:
    """A registry with these images, all of the same content."""

    async def resolve(key: str) -> tuple[Blob, Source] | None:
        return (blob_of(CONTENT, key), sources[key]) if key in sources else None

    return resolve


@asynccontextmanager
async def worker(
    tmp_path: Path, resolve: Resolve, *, prewarms_max: int = 2, verify_digest: bool = True
) -> AsyncIterator[tuple[ImageCache, Prewarmer]]:
    config = CacheConfig(dir=tmp_path / "cache", verify_digest=verify_digest)
    cache = ImageCache(config, Instruments())
    prewarmer = Prewarmer(cache, Queue(config.dir), resolve, prewarms_max=prewarms_max)
    async with cache, prewarmer:
        yield cache, prewarmer


async def ended(prewarmer: Prewarmer, key: str = KEY) -> CacheStatus:
    async with asyncio.timeout(30):
        while await prewarmer.asked():  # noqa: ASYNC110 - it tells nobody when it ends
            await asyncio.sleep(0.01)
    return await prewarmer.status(key, MIB)


@pytest.mark.parametrize(
    ("flip_at", "state", "proof"),
    [(None, CacheState.CACHED, Proof.VERIFIED), (7, CacheState.FAILED, Proof.UNVERIFIED)],
)
async def test_the_digest_is_compared_also_where_fills_do_not(
    tmp_path: Path, flip_at: int | None, state: CacheState, proof: Proof
) -> None:
    resolve = known({KEY: GatedSource(CONTENT, flip_at=flip_at)})
    async with worker(tmp_path, resolve, verify_digest=False) as (cache, prewarmer):
        await prewarmer.ask(KEY)
        status = await ended(prewarmer)
        assert (status.state, status.digest) == (state, proof)
        assert bool(await cache.entries()) is (state is CacheState.CACHED)


async def test_a_dropped_image_is_no_longer_asked_for_and_can_be_asked_for_again(tmp_path: Path) -> None:
    source = GatedSource(CONTENT, released=1000)
    async with worker(tmp_path, known({KEY: source})) as (_, prewarmer):
        await prewarmer.ask(KEY)
        await source.asked.wait()
        assert await prewarmer.drop(KEY)
        assert not await prewarmer.drop(KEY)
        assert await prewarmer.asked() == []

        await prewarmer.ask(KEY)
        source.release()
        assert (await ended(prewarmer)).digest is Proof.VERIFIED
        assert source.opened == 1


async def test_verified_is_said_of_one_entry_and_of_no_later_one(tmp_path: Path) -> None:
    source = GatedSource(CONTENT)
    async with worker(tmp_path, known({KEY: source})) as (cache, prewarmer):
        await prewarmer.ask(KEY)
        assert (await ended(prewarmer)).digest is Proof.VERIFIED
        await cache.evict(KEY)
        assert (await prewarmer.status(KEY, MIB)).state is CacheState.ABSENT

        await cache.store(blob_of(CONTENT), source)
        status = await prewarmer.status(KEY, MIB)
        assert (status.state, status.digest) == (CacheState.CACHED, Proof.UNVERIFIED)


async def test_verified_and_pinned_before_the_filler_has_written_it_down_holds_when_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_commit, committed, commit = asyncio.Event(), asyncio.Event(), Ledger.commit

    async def later(ledger: Ledger, name: str, blob: Blob) -> None:
        await may_commit.wait()
        await commit(ledger, name, blob)
        committed.set()

    monkeypatch.setattr(Ledger, "commit", later)
    resolve = known({KEY: GatedSource(CONTENT)})
    async with worker(tmp_path, known({}), prewarms_max=0) as (filler, _), worker(tmp_path, resolve) as (other, hands):
        async with asyncio.TaskGroup() as group:
            group.create_task(filler.store(blob_of(CONTENT, KEY), GatedSource(CONTENT)))
            async with asyncio.timeout(30):
                while not await other.has(KEY):  # noqa: ASYNC110 - no event for tests
                    await asyncio.sleep(0.01)
            await hands.ask(KEY)
            before = await ended(hands)
            assert (before.state, before.digest) == (CacheState.CACHED, Proof.VERIFIED)
            assert await other.pin(KEY, pinned=True)
            may_commit.set()
            await committed.wait()
        assert await hands.status(KEY, MIB) == replace(before, pinned=True)
        usage = await other.usage()
        assert (usage.entries, usage.reserved_bytes) == (1, 0)


async def test_another_worker_gives_the_same_answers_and_may_drop(tmp_path: Path) -> None:
    gated, refused = GatedSource(CONTENT, released=1000), GatedSource(CONTENT, flip_at=7)
    resolve = known({"gated": gated, "refused": refused, "good": GatedSource(CONTENT)})
    async with worker(tmp_path, resolve) as (_, one), worker(tmp_path, known({}), prewarms_max=0) as (_, other):
        for key in ("good", "refused"):
            await other.ask(key)
            await ended(one)
        await one.ask("gated")
        await gated.asked.wait()
        for key, state in (("good", CacheState.CACHED), ("refused", CacheState.FAILED)):
            status = await other.status(key, MIB)
            assert status == await one.status(key, MIB)
            assert status.state is state
        assert await other.asked() == ["gated"]
        assert await other.drop("gated")
        assert await one.asked() == []


async def test_what_one_worker_leaves_another_brings_in(tmp_path: Path) -> None:
    stuck, source = GatedSource(CONTENT, released=1000), GatedSource(CONTENT)
    async with worker(tmp_path, known({KEY: stuck})) as (_, first):
        await first.ask(KEY)
        await first.ask("image-2")  # gone by the time somebody looks
        await stuck.asked.wait()
    async with worker(tmp_path, known({KEY: source})) as (_, second):
        assert (await ended(second)).digest is Proof.VERIFIED
        assert (await second.status("image-2", MIB)).state is CacheState.ABSENT


async def test_what_was_found_lost_is_brought_in_or_forgotten(tmp_path: Path) -> None:
    source = GatedSource(CONTENT)
    async with worker(tmp_path, known({KEY: source})) as (_, prewarmer):
        prewarmer.refetch(KEY)
        prewarmer.refetch("gone")
        async with asyncio.timeout(30):
            while (await prewarmer.status(KEY, MIB)).digest is not Proof.VERIFIED:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert (await ended(prewarmer, "gone")).state is CacheState.ABSENT
    assert source.purposes == ["refetch"]


async def test_a_registry_that_is_away_for_a_moment_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = [ConnectionError("away"), ConnectionError("away")]
    found = known({KEY: GatedSource(CONTENT)})

    async def resolve(key: str) -> tuple[Blob, Source] | None:
        if failures:
            raise failures.pop()
        return await found(key)

    monkeypatch.setattr(prewarm, "_RESOLVE_RETRY_S", (0.0, 0.0))
    async with worker(tmp_path, resolve) as (_, prewarmer):
        await prewarmer.ask(KEY)
        assert (await ended(prewarmer)).state is CacheState.CACHED
        failures += [ConnectionError("away for good")] * 3
        await prewarmer.ask("image-2")
        status = await ended(prewarmer, "image-2")
        assert (status.state, status.error) == (CacheState.FAILED, "away for good")


async def test_no_more_are_brought_in_at_once_than_there_are_hands_for(tmp_path: Path) -> None:
    sources = {f"image-{number}": GatedSource(CONTENT, released=1000) for number in range(3)}
    async with worker(tmp_path, known(sources), prewarms_max=2) as (_, prewarmer):
        for key in sources:
            await prewarmer.ask(key)
        await sources["image-1"].asked.wait()
        assert (await prewarmer.status("image-2", MIB)).state is CacheState.QUEUED
        sources["image-0"].release()
        await sources["image-2"].asked.wait()
        for source in sources.values():
            source.release()
        assert (await ended(prewarmer, "image-2")).state is CacheState.CACHED


async def test_an_index_that_refuses_is_said_to_be_the_disk(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    (broken / "index.db").mkdir(parents=True)
    cache = ImageCache(CacheConfig(dir=tmp_path / "cache"), Instruments())
    prewarmer = Prewarmer(cache, Queue(broken), known({}))
    async with cache, prewarmer:
        with pytest.raises(DiskFailed, match="use its queue"):
            await prewarmer.ask(KEY)
        (broken / "index.db").rmdir()
        await prewarmer.ask(KEY)
