"""What has to be true of a cache folder after some of its workers were killed."""

import asyncio
import random
from collections.abc import Mapping
from pathlib import Path
from unittest.mock import patch

from cache import CacheConfig, CacheError, ImageCache, Outcome, books
from cache.sums import Summer
from metrics import Instruments
from tests.content import Noise
from tests.kill.images import LIAR, Store, blob_of, body_of

CLEAN_S = 10  # rule: half-filled files are resumed or gone so long after a start
_LAZY = {"evict_from_percent": 100, "evict_to_percent": 100}  # nothing goes while it is looked at
PARTS = ("fills", "entries", "leaving", "quarantine")


def files_in(folder: Path, *parts: str) -> list[Path]:
    return sorted(path for part in parts for path in (folder / part).rglob("*") if path.is_file())


def entries_in(folder: Path) -> dict[str, Path]:
    return {path.name: path for path in files_in(folder, "entries") if path.suffix != ".sums"}


async def check(
    config: CacheConfig, contents: Mapping[str, Noise], chance: random.Random, *, orphan_s: float | None
) -> None:
    """Start on the folder as it is; everything is compared, then each image is stored.

    `orphan_s`: the time after which half-filled files go is shortened to this, and all wait for it; None: it is as it
    is, and what was begun is gone on with before.
    """
    resumes = orphan_s is None
    every_s = 1.0 if resumes else 0.03
    _half_filled_files_are_the_start_of_their_images(config.dir, contents)
    with patch("cache.books._ORPHAN_S", orphan_s or books._ORPHAN_S), patch("cache.housekeeping._EVERY_S", every_s):
        async with ImageCache(config.model_copy(update=_LAZY), Instruments()) as cache:
            check_ = _Check(cache, config, contents)
            await check_.agrees()
            await asyncio.to_thread(check_.every_entry_is_its_image)
            for key in entries_in(config.dir):
                await cache.pin(key, pinned=False)
            keys = sorted(contents)
            chance.shuffle(keys)
            if resumes:
                keys.sort(key=lambda key: not list((config.dir / "fills").glob(f"{key}.*")))
            else:
                await check_.is_clean()
                await check_.counts_what_lies_there()
            for key in keys:
                await check_.can_be_stored(key, resumes=resumes)
                await check_.counts_no_more_than_allowed()
            await check_.is_clean()
            await check_.counts_what_lies_there()
            await asyncio.to_thread(check_.every_entry_is_its_image)


class _Check:
    def __init__(self, cache: ImageCache, config: CacheConfig, contents: Mapping[str, Noise]) -> None:
        self._cache, self._folder, self._contents = cache, config.dir, contents
        self._limit_bytes = config.size_max

    async def agrees(self) -> None:
        """The index and the folder come to agree soon after the start."""
        async with asyncio.timeout(CLEAN_S):
            while (known := {entry.key for entry in await self._cache.entries()}) != set(entries_in(self._folder)):  # noqa: ASYNC110 - no event for tests
                await asyncio.sleep(0.01)
        assert known <= set(self._contents)

    def every_entry_is_its_image(self) -> None:
        for key, path in entries_in(self._folder).items():
            data, summer = path.read_bytes(), Summer()
            assert data == self._contents[key].read(), f"the entry of {key} is not its image"
            summer.update(memoryview(data))
            assert path.with_name(f"{key}.sums").read_bytes() == summer.finish(), f"the sums of {key} are wrong"

    async def is_clean(self) -> None:
        async with asyncio.timeout(CLEAN_S):
            while left := files_in(self._folder, "fills", "leaving"):  # noqa: ASYNC110 - no event for tests
                await asyncio.sleep(0.01)
        assert not left

    async def counts_what_lies_there(self) -> None:
        usage = await self._cache.usage()
        lying = sum(path.stat().st_size for path in files_in(self._folder, *PARTS))
        assert usage.reserved_bytes == 0, f"{usage.reserved_bytes} bytes are promised to nobody"
        assert abs(usage.charged_bytes - lying) <= lying / 1000, f"{usage} are counted, {lying} bytes are there"
        assert usage.entries == len(entries_in(self._folder))

    async def counts_no_more_than_allowed(self) -> None:
        charged_bytes = (await self._cache.usage()).charged_bytes
        lying = sum(path.stat().st_size for path in files_in(self._folder, *PARTS))
        assert max(charged_bytes, lying) <= self._limit_bytes

    async def can_be_stored(self, key: str, *, resumes: bool) -> None:
        content = self._contents[key]
        store = Store(content)
        was_there = key in entries_in(self._folder)
        halves = sorted((self._folder / "fills").glob(f"{key}.*"), key=lambda path: int(path.suffix[1:]))
        half = halves[-1].stat().st_size if halves else 0
        try:
            await self._cache.store(blob_of(key, content), store)
        except CacheError:
            if key != LIAR:
                raise
            await self._cache.store(blob_of(key, content), store)  # it went on with what a lie had left
        if resumes and half and not was_there and key != LIAR:
            assert store.offsets == ([half] if half < content.size_bytes else []), f"{key} was not gone on with"
        async with self._cache.open(blob_of(key, content), Store(content)) as reader:
            assert reader.outcome is Outcome.HIT, f"{key} was stored and is a {reader.outcome}"
            assert await body_of(reader) == content.read()


def _half_filled_files_are_the_start_of_their_images(folder: Path, contents: Mapping[str, Noise]) -> None:
    for path in files_in(folder, "fills"):
        key = path.name.rpartition(".")[0]
        data = path.read_bytes()
        assert key == LIAR or data == contents[key].read(0, len(data)), f"{path.name} is not the start of {key}"
