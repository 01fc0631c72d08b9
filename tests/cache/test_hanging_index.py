"""A disk that hangs in the index, or at the start: images are served, and who asks for the cache itself is told."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack

import pytest
from structlog.testing import capture_logs

from cache import Blob, CacheConfig, ImageCache, Outcome, Prewarmer, Queue, Source
from cache.books import Books
from cache.errors import DiskFailed
from cache.health import DiskState
from metrics import Instruments
from tests.cache.reading import BLOB, CONTENT, fetch
from tests.cache.sources import GatedSource, blob_of
from tests.cache.test_held_up import is_sent_away
from tests.content import MIB, Noise
from tests.disk.book import ALL, INDEXING
from tests.disk.shim import DiskFaults

COLD = Noise(MIB, seed=6)
COLD_BLOB = blob_of(COLD, "image-3")
ENOUGH_S = 20  # less than what a disk may hang before the cache gives it up


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cache.holding._STEP_S", 0.03)
    monkeypatch.setattr("cache.housekeeping._EVERY_S", 0.02)
    monkeypatch.setattr("cache.boarding._LOCATE_S", 30)  # it is not the files that hang


@pytest.fixture
def config(config: CacheConfig) -> CacheConfig:
    return config.model_copy(update={"fills_max": 1})


async def resolve(_key: str) -> tuple[Blob, Source]:
    return COLD_BLOB, GatedSource(COLD)


@pytest.fixture
def disk(config: CacheConfig) -> Iterator[DiskFaults]:
    """Before the index is opened: a connection is reached from then on."""
    with DiskFaults(config.dir) as disk:
        yield disk
        assert not disk.held_loops


@pytest.fixture
async def workers(config: CacheConfig, disk: DiskFaults) -> AsyncIterator[list[tuple[ImageCache, Prewarmer]]]:
    async with AsyncExitStack() as stack:
        found = []
        for _ in range(2):
            cache = ImageCache(config, Instruments())
            prewarmer = Prewarmer(cache, Queue(config.dir), resolve)
            await stack.enter_async_context(cache)
            found.append((cache, await stack.enter_async_context(prewarmer)))
        stack.callback(disk.heal)
        yield found


def questions(cache: ImageCache, prewarmer: Prewarmer) -> list[Callable[[], Awaitable[object]]]:
    return [
        cache.entries,
        cache.usage,
        lambda: cache.entry(BLOB.key),
        lambda: cache.pin(BLOB.key, pinned=True),
        lambda: cache.evict("image-4"),
        cache.prune,
        cache.clean,
        prewarmer.asked,
        prewarmer.clear,
        lambda: prewarmer.ask("image-4"),
        lambda: prewarmer.drop("image-4"),
        lambda: prewarmer.status("image-4", MIB),
    ]


async def is_refused(question: Callable[[], Awaitable[object]]) -> bool:
    try:
        await question()
    except DiskFailed:
        return True
    return False


async def test_while_the_index_hangs_hits_are_hits_and_misses_go_to_the_store_and_questions_are_refused(
    workers: list[tuple[ImageCache, Prewarmer]], disk: DiskFaults, monkeypatch: pytest.MonkeyPatch
) -> None:
    await workers[0][0].store(BLOB, GatedSource(CONTENT))
    disk.hang(INDEXING)
    async with asyncio.timeout(ENOUGH_S):
        for cache, prewarmer in workers:
            assert await fetch(cache, GatedSource(CONTENT)) == (CONTENT.read(), Outcome.HIT)
            assert await is_sent_away(cache, GatedSource(COLD), COLD_BLOB)
            asked = questions(cache, prewarmer)
            with monkeypatch.context() as patience:
                patience.setattr("cache.threads.SILENT_S", 0.2)
                assert await asyncio.gather(*map(is_refused, asked)) == [True] * len(asked)
            assert await asyncio.gather(*map(is_refused, asked)) == [True] * len(asked)  # at once
    disk.heal()
    async with asyncio.timeout(ENOUGH_S):
        for cache, prewarmer in workers:
            for question in questions(cache, prewarmer):
                while await is_refused(question):  # noqa: ASYNC110 - the thread has what it was asked meanwhile to do
                    await asyncio.sleep(0.02)
        await workers[1][0].store(COLD_BLOB, GatedSource(COLD))
    assert {BLOB.key, COLD_BLOB.key} <= {entry.key for entry in await workers[0][0].entries()}
    assert (await workers[0][0].usage()).reserved_bytes == 0


async def until_disk_is(instruments: Instruments, state: DiskState) -> None:
    while instruments.registry.get_sample_value("glint_disk_state") != state:  # noqa: ASYNC110 - it has no event
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("calls", [ALL | INDEXING, INDEXING], ids=["all", "the index"])
async def test_a_start_on_a_disk_that_hangs_goes_round_it_until_it_answers(
    config: CacheConfig, disk: DiskFaults, monkeypatch: pytest.MonkeyPatch, calls: frozenset[str]
) -> None:
    async with ImageCache(config, Instruments()) as cache:
        await cache.store(BLOB, GatedSource(CONTENT))
    instruments = Instruments()
    monkeypatch.setattr("cache.ledger._OPEN_S", 0.1)
    disk.hang(calls)
    with capture_logs() as logs:
        async with asyncio.timeout(ENOUGH_S), ImageCache(config, instruments) as cache:
            assert await fetch(cache, GatedSource(CONTENT)) == (CONTENT.read(), Outcome.BYPASS)
            await until_disk_is(instruments, DiskState.UNSTABLE)
            for question in (cache.entries, cache.usage, lambda: cache.store(BLOB, GatedSource(CONTENT))):
                assert await is_refused(question)
            disk.heal()
            await until_disk_is(instruments, DiskState.HEALTHY)
            assert await fetch(cache, GatedSource(CONTENT)) == (CONTENT.read(), Outcome.HIT)
            assert [entry.key for entry in await cache.entries()] == [BLOB.key]
    assert [entry["log_level"] for entry in logs if entry["event"] == "cache.unopened"] == ["error"]


async def test_while_the_disk_hangs_as_index_and_folder_are_made_to_agree_misses_go_to_the_store(
    config: CacheConfig, disk: DiskFaults, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder was opened; then the disk hung in the midst of what may take long by itself."""
    async with ImageCache(config, Instruments()) as cache:
        await cache.store(BLOB, GatedSource(CONTENT))
    settle, instruments = Books.settle, Instruments()

    def hanging(books: Books) -> int:
        disk.hang(INDEXING)
        return settle(books)

    monkeypatch.setattr("cache.books.Books.settle", hanging)
    async with asyncio.timeout(ENOUGH_S), ImageCache(config, instruments) as cache:
        assert await fetch(cache, GatedSource(CONTENT)) == (CONTENT.read(), Outcome.HIT)
        assert await is_sent_away(cache, GatedSource(COLD), COLD_BLOB)
        monkeypatch.setattr("cache.watch.HANG_S", 0.1)
        await until_disk_is(instruments, DiskState.UNSTABLE)
        disk.heal()
    assert instruments.registry.get_sample_value("glint_disk_errors_total", {"operation": "read its folder"}) == 1
