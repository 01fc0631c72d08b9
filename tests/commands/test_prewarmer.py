"""What a prewarm promises where `cache.verify_digest` is off, and what is left of one that is dropped."""

import asyncio
from pathlib import Path

import pytest

from cache import CacheConfig, ImageCache
from metrics import Instruments
from proxy.prewarm import CacheState, CacheStatus, Prewarmer, Proof
from tests.cache.sources import GatedSource, blob_of
from tests.content import MIB, Noise

CONTENT = Noise(MIB, seed=5)


async def ended(prewarmer: Prewarmer) -> CacheStatus:
    async with asyncio.timeout(10):
        while prewarmer.asked:  # noqa: ASYNC110 - it tells nobody when it ends
            await asyncio.sleep(0.01)
    return await prewarmer.status("image-1", MIB)


@pytest.mark.parametrize(
    ("flip_at", "state", "proof"),
    [(None, CacheState.CACHED, Proof.VERIFIED), (7, CacheState.FAILED, Proof.UNVERIFIED)],
)
async def test_the_digest_is_compared_also_where_fills_do_not(
    tmp_path: Path, flip_at: int | None, state: CacheState, proof: Proof
) -> None:
    config = CacheConfig(dir=tmp_path / "cache", verify_digest=False)
    async with ImageCache(config, Instruments()) as cache, Prewarmer(cache) as prewarmer:
        prewarmer.ask(blob_of(CONTENT), GatedSource(CONTENT, flip_at=flip_at))
        status = await ended(prewarmer)
        assert (status.state, status.digest) == (state, proof)
        assert bool(await cache.entries()) is (state is CacheState.CACHED)


async def test_a_dropped_image_is_no_longer_asked_for_and_can_be_asked_for_again(tmp_path: Path) -> None:
    source = GatedSource(CONTENT, released=1000)
    async with ImageCache(CacheConfig(dir=tmp_path / "cache"), Instruments()) as cache, Prewarmer(cache) as prewarmer:
        prewarmer.ask(blob_of(CONTENT), source)
        await source.asked.wait()
        assert prewarmer.drop("image-1")
        assert not prewarmer.drop("image-1")
        assert prewarmer.asked == []

        prewarmer.ask(blob_of(CONTENT), source)
        source.release()
        assert (await ended(prewarmer)).digest is Proof.VERIFIED
        assert source.opened == 1


async def test_verified_is_forgotten_with_the_entry(tmp_path: Path) -> None:
    async with ImageCache(CacheConfig(dir=tmp_path / "cache"), Instruments()) as cache, Prewarmer(cache) as prewarmer:
        prewarmer.ask(blob_of(CONTENT), GatedSource(CONTENT))
        assert (await ended(prewarmer)).digest is Proof.VERIFIED
        prewarmer.drop("image-1")
        await cache.evict("image-1")
        assert (await prewarmer.status("image-1", MIB)).state is CacheState.ABSENT
