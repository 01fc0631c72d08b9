"""What the cache does by itself: room ahead of need, a floor on the disk, entries read back."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

import pytest

from cache import CacheConfig, ImageCache, Outcome, Verdict
from cache.room import Room
from metrics import Instruments
from tests.cache.reading import BLOB, CONTENT, fetch, files_in, flip
from tests.cache.sources import GatedSource, blob_of
from tests.content import MIB, Noise


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has a second to wait for each turn."""
    monkeypatch.setattr("cache.housekeeping._EVERY_S", 0.05)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - the cache has no event for its tests
            await asyncio.sleep(0.02)


async def stored(cache: ImageCache, key: str, size_bytes: int = 8 * MIB) -> None:
    content = Noise(size_bytes, seed=crc32(key.encode()) % 1000)
    await cache.store(blob_of(content, key), GatedSource(content, piece_bytes=MIB))


def keys_in(config: CacheConfig) -> list[str]:
    return [name for name in files_in(config, "entries") if not name.endswith(".sums")]


async def test_entries_go_ahead_of_need_from_one_mark_down_to_the_other(config: CacheConfig) -> None:
    """64 MiB: 90 % is 57.6, 85 % is 54.4. Eight entries are more than the first, six less than the second."""
    quick = config.model_copy(update={"min_age_s": 0.0})
    async with ImageCache(quick, Instruments()) as cache:
        for number in range(7):
            await stored(cache, f"image-{number}")
        await asyncio.sleep(0.3)
        assert len(keys_in(config)) == 7
        await stored(cache, "image-7", 3 * MIB)
        await until(lambda: keys_in(config) == [f"image-{number}" for number in range(1, 8)])
        await asyncio.sleep(0.3)
        assert len(keys_in(config)) == 7


async def test_pinned_and_young_entries_stay_ahead_of_need(config: CacheConfig) -> None:
    async with ImageCache(config.model_copy(update={"min_age_s": 0.0}), Instruments()) as cache:
        await stored(cache, "pinned-1")
        assert await cache.pin("pinned-1", pinned=True)
        assert not await cache.pin("nothing", pinned=True)
        for number in range(6):
            await stored(cache, f"image-{number}")
        await stored(cache, "image-6", 3 * MIB)
        await until(lambda: "image-0" not in keys_in(config))
        assert "pinned-1" in keys_in(config)
    async with ImageCache(config, Instruments()) as cache:  # min_age_s is ten minutes
        await stored(cache, "image-7", 8 * MIB)
        await asyncio.sleep(0.3)
        assert len(keys_in(config)) == 8
        assert (await cache.usage()).charged_bytes > 0.9 * config.size_max


async def test_what_another_one_is_just_removing_makes_nobody_remove_more(
    config: CacheConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its bytes are out of use already, and its row is still there."""
    looked_s: list[float] = []

    def for_a_moment(_room: Room, _percent: int) -> bool:
        looked_s.append(time.monotonic())
        return looked_s[-1] - looked_s[0] < 0.05

    async with ImageCache(config.model_copy(update={"min_age_s": 0.0}), Instruments()) as cache:
        await stored(cache, "image-1")
        monkeypatch.setattr(Room, "is_too_full", for_a_moment)
        await until(lambda: len(looked_s) > 3)
        assert keys_in(config) == ["image-1"]


async def test_young_entries_go_when_nothing_else_can(config: CacheConfig) -> None:
    async with ImageCache(config, Instruments()) as cache:
        for number in range(9):
            await stored(cache, f"image-{number}")
        assert keys_in(config) == [f"image-{number}" for number in range(2, 9)]


async def test_a_pinned_entry_is_not_evicted_for_space(config: CacheConfig) -> None:
    async with ImageCache(config, Instruments()) as cache:
        await stored(cache, "pinned-1", 40 * MIB)
        await cache.pin("pinned-1", pinned=True)
        late = Noise(30 * MIB, seed=9)
        assert (await fetch(cache, GatedSource(late, piece_bytes=MIB), blob_of(late, "late")))[1] is Outcome.BYPASS
        await cache.pin("pinned-1", pinned=False)
        assert (await fetch(cache, GatedSource(late, piece_bytes=MIB), blob_of(late, "late")))[1] is Outcome.MISS


async def test_a_disk_that_others_have_filled_is_left_some_room(
    config: CacheConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    free_bytes = [100 * MIB]
    monkeypatch.setattr("cache.disk.Folder.free_bytes", lambda _self: free_bytes[0])
    config = config.model_copy(update={"free_min": 60 * MIB, "min_age_s": 0.0})
    async with ImageCache(config, Instruments()) as cache:
        await stored(cache, "image-1")
        large = Noise(50 * MIB, seed=9)
        ask = GatedSource(large, piece_bytes=MIB)
        assert (await fetch(cache, ask, blob_of(large, "large")))[1] is Outcome.BYPASS
        assert keys_in(config) == ["image-1"]  # its eviction would not have helped
        free_bytes[0] = 59 * MIB
        await until(lambda: keys_in(config) == [])


async def test_quarantined_bytes_count_and_go_first_when_room_is_needed(config: CacheConfig) -> None:
    async with ImageCache(config, Instruments()) as cache:
        await stored(cache, "image-1", 30 * MIB)
        await asyncio.to_thread(flip, config.dir / "entries" / "im" / "image-1", MIB)
        assert await cache.verify("image-1") is Verdict.DAMAGED
        usage = await cache.usage()
        assert (usage.committed_bytes, usage.quarantined_bytes) == (0, 30 * MIB + 30 * 8)
        await stored(cache, "image-2", 30 * MIB)
        assert (await cache.usage()).quarantined_bytes > 0
        await stored(cache, "image-3", 30 * MIB)
        assert (await cache.usage()).quarantined_bytes == 0
        assert keys_in(config) == ["image-2", "image-3"]


async def test_verify_says_what_it_found(cache: ImageCache, config: CacheConfig) -> None:
    assert await cache.verify(BLOB.key) is Verdict.ABSENT
    await cache.store(BLOB, GatedSource(CONTENT))
    assert await cache.verify(BLOB.key) is Verdict.WHOLE
    await asyncio.to_thread(Path.unlink, config.dir / "entries" / BLOB.key[:2] / f"{BLOB.key}.sums")
    assert await cache.verify(BLOB.key) is Verdict.DAMAGED
    assert await cache.verify(BLOB.key) is Verdict.ABSENT


async def test_one_flipped_bit_among_many_entries_is_found_in_one_pass_and_fetched_anew(config: CacheConfig) -> None:
    async with ImageCache(config, Instruments()) as cache:
        for number in range(6):
            await stored(cache, f"image-{number}", 3 * MIB + number)
    await asyncio.to_thread(flip, config.dir / "entries" / "im" / "image-4", 2 * MIB + 12345)
    instruments, lost = Instruments(), list[str]()
    eager = config.model_copy(update={"scrub_interval_s": 0.1, "scrub_rate_max": 1024 * MIB})
    async with ImageCache(eager, instruments) as cache:
        cache.when_lost(lost.append)
        await until(lambda: lost == ["image-4"])
        assert "image-4" not in keys_in(config)
        assert len(keys_in(config)) == 5
        assert [name.split(".")[0] for name in files_in(config, "quarantine")] == ["image-4"] * 2
    assert instruments.registry.get_sample_value("glint_scrub_errors_total") == 1
    assert (instruments.registry.get_sample_value("glint_scrub_bytes_total") or 0) >= 5 * 3 * MIB


async def test_a_wrong_digest_leads_to_the_next_place_by_itself(cache: ImageCache, config: CacheConfig) -> None:
    source = GatedSource(CONTENT, flip_at=7, others=1)
    with pytest.raises(Exception, match="sha512"):
        await fetch(cache, source)
    await until(lambda: keys_in(config) == [BLOB.key])
    assert source.opened == 2
    assert await fetch(cache, GatedSource(CONTENT)) == (CONTENT.read(), Outcome.HIT)


@pytest.mark.parametrize("cuts", [[1], [MIB], [MIB, MIB + 1, 2 * MIB], [CONTENT.size_bytes - 1]])
async def test_a_source_that_breaks_is_read_on_at_the_next_byte(cache: ImageCache, cuts: list[int]) -> None:
    source = GatedSource(CONTENT, cuts=cuts)
    assert await fetch(cache, source) == (CONTENT.read(), Outcome.MISS)
    assert source.offsets == [0, *cuts]
    assert source.given_bytes == CONTENT.size_bytes


async def test_a_read_past_the_cache_is_read_on_too(config: CacheConfig) -> None:
    async with ImageCache(config.model_copy(update={"size_max": MIB}), Instruments()) as cache:
        source = GatedSource(CONTENT, cuts=[MIB, 2 * MIB])
        assert await fetch(cache, source) == (CONTENT.read(), Outcome.BYPASS)
        assert source.offsets == [0, MIB, 2 * MIB]
