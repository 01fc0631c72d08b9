"""A start on a folder with very many entries: hits need not wait until all of them are known."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from cache import CacheConfig, ImageCache, Outcome
from cache.index import Index
from metrics import Instruments
from tests.content import Noise
from tests.kill.images import Store, blob_of, body_of, config_of

CONTENT = Noise(16)
_LIMIT_BYTES, _MANY = 2**30, 100_000


async def test_a_hit_does_not_wait_until_the_folder_was_looked_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(tmp_path / "cache", _LIMIT_BYTES)
    await asyncio.to_thread(_lay, config, 50)
    go_on, settle = threading.Event(), Index.settle

    def waits(index: Index, *args: Any) -> int:
        assert go_on.wait(60)
        return settle(index, *args)

    monkeypatch.setattr(Index, "settle", waits)
    async with ImageCache(config, Instruments()) as cache:
        try:
            assert await _hit(cache, "im-7")
        finally:
            go_on.set()
        assert (await cache.usage()).entries == 50


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_a_start_on_very_many_entries_serves_at_once(tmp_path: Path) -> None:
    """The first start has files without rows, as after the loss of the index; the second has all rows."""
    config = config_of(tmp_path / "cache", _LIMIT_BYTES)
    await asyncio.to_thread(_lay, config, _MANY)
    key = f"im-{_MANY // 2}"
    for wrong in (_MANY, 0):
        async with ImageCache(config, Instruments()) as cache:
            settling = cache._ledger._settling
            assert await _hit(cache, key)
            assert not settling.done(), "the hit has waited"
            assert (await cache.usage()).entries == _MANY
            assert await settling == wrong
            assert (await cache.entries())[0].key == key


async def _hit(cache: ImageCache, key: str) -> bool:
    async with cache.open(blob_of(key, CONTENT), Store(CONTENT)) as reader:
        return reader.outcome is Outcome.HIT and await body_of(reader) == CONTENT.read()


def _lay(config: CacheConfig, count: int) -> None:
    shard = config.dir / "entries" / "im"
    shard.mkdir(parents=True)
    (config.dir / "VERSION").write_text("glint-cache 2\n")
    for n in range(count):
        (shard / f"im-{n}").write_bytes(CONTENT.read())
