"""A fill that was left by one worker is finished by another, at nobody's expense."""

import asyncio
from pathlib import Path

from cache import ImageCache, Outcome
from metrics import Instruments
from tests.cache.sources import GatedSource, blob_of
from tests.content import MIB, Noise
from tests.kill.images import body_of, config_of

LARGE, SMALL = Noise(6 * MIB, seed=1), Noise(2 * MIB, seed=2)


async def test_going_on_needs_no_room_of_its_own(tmp_path: Path) -> None:
    """The image is more than half of the cache: its room is promised once, whoever fills it."""
    config = config_of(tmp_path / "cache", 10 * MIB)
    async with ImageCache(config, Instruments()) as survivor:
        await survivor.store(blob_of(SMALL, "small"), GatedSource(SMALL))
        begun, more = GatedSource(LARGE, released=4 * MIB), GatedSource(LARGE)
        async with ImageCache(config, Instruments()) as dying, dying.open(blob_of(LARGE), begun) as reader:
            assert await reader.beyond(4 * MIB - 1) == 4 * MIB  # all that came is written
        async with survivor.open(blob_of(LARGE), more) as reader:
            assert reader.outcome is Outcome.MISS
            assert await body_of(reader) == LARGE.read()
        await survivor.store(blob_of(LARGE), more)
        assert more.offsets == [4 * MIB]
        assert {entry.key for entry in await survivor.entries()} == {"small", "image-1"}
        async with asyncio.timeout(30):
            while (await survivor.usage()).reserved_bytes:  # noqa: ASYNC110 - no event for tests
                await asyncio.sleep(0.01)
