"""What a reader gets, how often the store is asked, and what a failed fill leaves."""

import asyncio
import errno
import hashlib
import os
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack

import pytest

from cache import (
    Abandoned,
    Blob,
    CacheConfig,
    DigestMismatch,
    DiskFailed,
    ImageCache,
    Outcome,
    RangeTable,
    Stalled,
    WrongSize,
    new_range_table,
)
from cache.boarding import _LOCATE_S
from cache.resume import RETRIES_MAX
from metrics import Instruments
from tests.cache.reading import BLOB, CONTENT, fetch, files_in, read_all
from tests.cache.sources import GatedSource, StoreBroke, blob_of
from tests.content import KIB, MIB, Noise


async def test_the_first_ask_is_a_miss_and_the_second_a_hit(cache: ImageCache) -> None:
    source = GatedSource(CONTENT)
    assert await fetch(cache, source) == (CONTENT.read(), Outcome.MISS)
    await cache.store(BLOB, source)  # the entry appears a moment after the last byte
    assert await fetch(cache, source) == (CONTENT.read(), Outcome.HIT)
    assert source.opened == 1


async def test_two_clients_share_one_fill(cache: ImageCache) -> None:
    source = GatedSource(CONTENT, released=MIB)
    async with cache.open(BLOB, source) as first, cache.open(BLOB, source) as second:
        assert (first.outcome, second.outcome) == (Outcome.MISS, Outcome.JOIN)
        reads = asyncio.gather(read_all(first), read_all(second))
        assert await first.beyond(0) > 0
        source.release()
        assert set(await reads) == {CONTENT.read()}
    assert source.opened == 1


async def test_a_thousand_clients_at_once_are_one_store_read(cache: ImageCache) -> None:
    content = Noise(100 * KIB, seed=2)
    source = GatedSource(content, piece_bytes=10 * KIB)
    answers = await asyncio.gather(*(fetch(cache, source, blob_of(content)) for _ in range(1000)))
    assert {body for body, _ in answers} == {content.read()}
    assert source.opened == 1


async def test_a_process_that_was_held_up_does_not_take_it_for_a_slow_disk(cache: ImageCache) -> None:
    """All were looking for the image then. Past the cache, each of them would have read the store."""
    source = GatedSource(CONTENT)
    async with asyncio.TaskGroup() as group:
        clients = [group.create_task(fetch(cache, source)) for _ in range(5)]
        await asyncio.sleep(0)
        time.sleep(_LOCATE_S + 0.2)  # noqa: ASYNC251 - as a host does that stops a virtual machine
    assert {client.result()[0] for client in clients} == {CONTENT.read()}
    assert source.opened == 1


async def test_what_is_written_can_be_read_while_the_rest_is_still_to_come(cache: ImageCache) -> None:
    source = GatedSource(CONTENT, released=MIB)
    async with cache.open(BLOB, source) as reader:
        assert await read_all(reader, 0, 512 * KIB) == CONTENT.read(0, 512 * KIB)
        source.release()


async def test_the_first_client_may_leave_and_the_others_lose_nothing(cache: ImageCache) -> None:
    source = GatedSource(CONTENT, released=CONTENT.size_bytes // 10)
    async with cache.open(BLOB, source) as second:
        async with cache.open(BLOB, source) as first:
            await first.beyond(0)
        source.release()
        assert await read_all(second) == CONTENT.read()
    assert source.opened == 1


async def test_a_fill_goes_on_when_all_have_left(cache: ImageCache) -> None:
    source = GatedSource(CONTENT, released=MIB)
    async with cache.open(BLOB, source):
        pass
    source.release()
    await cache.store(BLOB, source)
    assert await fetch(cache, source) == (CONTENT.read(), Outcome.HIT)
    assert source.opened == 1


async def test_a_fill_ends_with_its_last_client_if_the_policy_says_so(
    config: CacheConfig, instruments: Instruments
) -> None:
    policy = config.model_copy(update={"on_last_client_gone": "cancel"})
    async with ImageCache(policy, instruments) as cache:
        source = GatedSource(CONTENT, released=MIB)
        async with cache.open(BLOB, source) as reader:
            await reader.beyond(0)
        again = GatedSource(CONTENT)
        assert (await fetch(cache, again))[0] == CONTENT.read()
        await cache.store(BLOB, again)
    assert (source.opened, source.closed, again.opened) == (1, 1, 1)
    assert files_in(config, "fills") == []


@pytest.mark.parametrize(
    ("changes", "goes_on"),
    [
        ({"cancel_below_percent": 25}, True),  # 1 MiB of 3 MiB has come
        ({"cancel_below_percent": 50}, False),
        ({"cancel_rest_min": 2 * MIB + 17}, True),  # just so much is to come
        ({"cancel_rest_min": 2 * MIB + 16}, False),
        ({"cancel_below_percent": 50, "cancel_rest_min": 4 * MIB}, True),
    ],
    ids=str,
)
async def test_what_is_nearly_there_goes_on_also_where_fills_end_with_their_last_client(
    config: CacheConfig, instruments: Instruments, changes: dict[str, int], *, goes_on: bool
) -> None:
    policy = config.model_copy(update={"on_last_client_gone": "cancel", **changes})
    async with ImageCache(policy, instruments) as cache:
        source = GatedSource(CONTENT, released=MIB)
        async with cache.open(BLOB, source) as reader:
            assert await reader.beyond(MIB - 1) == MIB
        async with asyncio.timeout(20):
            while (await cache.usage()).reserved_bytes and not goes_on:  # noqa: ASYNC110 - the cache has no event
                await asyncio.sleep(0.01)
        source.release()
        if goes_on:
            await cache.store(BLOB, source)
        cancelled = instruments.registry.get_sample_value("glint_fills_total", {"result": "cancelled"}) or 0
        assert (await cache.has(BLOB.key), cancelled) == (goes_on, 0 if goes_on else 1)
    assert (source.opened, files_in(config, "fills")) == (1, [])


FAULTS = [
    pytest.param({"refuse": StoreBroke()}, StoreBroke, id="refuses"),
    pytest.param({"released": MIB, "fail": StoreBroke()}, StoreBroke, id="breaks in the middle"),
    pytest.param({"flip_at": 7}, DigestMismatch, id="one byte at the front is wrong"),
    pytest.param({"flip_at": 3 * MIB + 16}, DigestMismatch, id="the last byte is wrong"),
    pytest.param({"released": MIB}, Stalled, id="hangs"),
]


@pytest.mark.parametrize(("fault", "expected"), FAULTS)
async def test_a_failed_fill_reaches_every_reader_and_leaves_nothing(
    config: CacheConfig, instruments: Instruments, fault: dict[str, object], expected: type[Exception]
) -> None:
    if expected is Stalled:
        config = config.model_copy(update={"fill_idle_s": 0.2})
    async with ImageCache(config, instruments) as cache:
        source = GatedSource(CONTENT, **fault)  # type: ignore[arg-type]
        outcomes = await asyncio.gather(*(fetch(cache, source) for _ in range(5)), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [expected] * 5
        assert source.opened == (1 + RETRIES_MAX if "released" in fault else 1)
        well = GatedSource(CONTENT)
        assert (await fetch(cache, well))[0] == CONTENT.read()
    assert files_in(config, "fills") == []


@pytest.mark.parametrize("claimed", [CONTENT.size_bytes - 1, CONTENT.size_bytes + 1])
async def test_a_source_of_another_length_is_refused(cache: ImageCache, config: CacheConfig, claimed: int) -> None:
    blob = Blob(key="image-1", size_bytes=claimed, digest=BLOB.digest)
    with pytest.raises(WrongSize):
        await fetch(cache, GatedSource(CONTENT), blob)
    assert files_in(config, "entries") == []


@pytest.mark.parametrize("flip_at", [0, CONTENT.size_bytes - 1])
async def test_no_reader_can_complete_a_body_with_a_wrong_digest(cache: ImageCache, flip_at: int) -> None:
    source = GatedSource(CONTENT, flip_at=flip_at)
    async with cache.open(BLOB, source) as reader:
        with pytest.raises(DigestMismatch):
            await reader.beyond(CONTENT.size_bytes - 1)


@pytest.mark.parametrize("size_bytes", [1, 64 * KIB, MIB - 1, MIB, MIB + 1])
async def test_every_size_comes_out_as_it_went_in(cache: ImageCache, size_bytes: int) -> None:
    content = Noise(size_bytes, seed=size_bytes)
    source = GatedSource(content, piece_bytes=1000 if size_bytes < MIB else 300_000)
    assert await fetch(cache, source, blob_of(content)) == (content.read(), Outcome.MISS)
    await cache.store(blob_of(content), source)
    assert await fetch(cache, source, blob_of(content)) == (content.read(), Outcome.HIT)


async def test_an_image_larger_than_the_cache_goes_past_it(cache: ImageCache, config: CacheConfig) -> None:
    content = Noise(65 * MIB, seed=3)
    source = GatedSource(content, piece_bytes=MIB)
    body, outcome = await fetch(cache, source, blob_of(content))
    assert hashlib.sha512(body).hexdigest() == content.digest()
    assert outcome is Outcome.BYPASS
    assert files_in(config, "entries") == []


async def test_a_bypass_withholds_the_last_piece_of_a_wrong_body(cache: ImageCache) -> None:
    content = Noise(65 * MIB, seed=3)
    source = GatedSource(content, piece_bytes=MIB, flip_at=5)
    got = 0
    async with cache.open(blob_of(content), source) as reader:
        with pytest.raises(DigestMismatch):  # noqa: PT012 - the error comes out of the iteration
            async with reader.direct() as chunks:
                async for chunk in chunks:
                    got += len(chunk)
    assert 0 < got < content.size_bytes


async def test_a_disk_that_refuses_writes_costs_no_client_a_byte(
    cache: ImageCache, config: CacheConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.pwritev

    def full_after_one_mib(fd: int, pieces: Sequence[bytes], offset: int) -> int:
        if offset + sum(map(len, pieces)) > MIB:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(fd, pieces, offset)

    monkeypatch.setattr("os.pwritev", full_after_one_mib)
    async with cache.open(BLOB, GatedSource(CONTENT)) as reader:
        with pytest.raises(DiskFailed):
            await reader.beyond(2 * MIB)
        at = (await reader.beyond(0)) if reader.flight and reader.flight.progress.watermark else 0
        body = await read_all(reader, 0, at)
        async with reader.direct(at) as chunks:
            body += b"".join([chunk async for chunk in chunks])
    assert body == CONTENT.read()
    with pytest.raises(DiskFailed):
        await cache.store(BLOB, GatedSource(CONTENT))  # returns when all is cleaned up
    assert files_in(config, "fills") == []
    assert (await cache.usage()).reserved_bytes == 0


async def test_a_range_far_into_an_idle_image_reads_only_the_store(config: CacheConfig) -> None:
    async with ImageCache(config.model_copy(update={"range_fill_percent": 90}), Instruments()) as cache:
        source = GatedSource(CONTENT)
        async with cache.open(BLOB, source, start=2 * MIB, stop=3 * MIB) as reader:
            assert reader.outcome is Outcome.BYPASS
            assert await read_all(reader, 2 * MIB, 3 * MIB) == CONTENT.read(2 * MIB, 3 * MIB)
        assert (source.offsets, source.stops) == ([2 * MIB], [3 * MIB])


async def test_parts_that_were_asked_of_several_workers_start_one_fill(config: CacheConfig) -> None:
    async with AsyncExitStack() as stack:
        table = new_range_table(2)
        stack.callback(os.close, table)
        workers = [
            await stack.enter_async_context(ImageCache(config, Instruments(), RangeTable(table, ring)))
            for ring in range(2)
        ]
        source, start, part = GatedSource(CONTENT), MIB, CONTENT.size_bytes // 8 + 1
        for worker, outcome in zip(workers, (Outcome.BYPASS, Outcome.MISS), strict=True):
            async with worker.open(BLOB, source, start=start, stop=start + part) as reader:
                assert reader.outcome is outcome
                assert await read_all(reader, start, start + part) == CONTENT.read(start, start + part)
            start += part
        await workers[1].store(BLOB, source)
        assert source.opened == 2


async def test_no_more_fills_run_at_once_than_allowed(config: CacheConfig) -> None:
    async with ImageCache(config.model_copy(update={"fills_max": 2}), Instruments()) as cache:
        sources = [GatedSource(CONTENT, released=MIB) for _ in range(3)]
        waiting = asyncio.gather(
            *(fetch(cache, source, blob_of(CONTENT, f"image-{n}")) for n, source in enumerate(sources))
        )
        async with asyncio.timeout(30):
            while sum(source.opened for source in sources) < 2:  # noqa: ASYNC110 - any two of the three
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert sorted(source.opened for source in sources) == [0, 1, 1]
        for source in sources:
            source.release()
        assert {outcome for _, outcome in await waiting} == {Outcome.MISS}


async def test_who_waits_too_long_for_a_turn_goes_past_the_cache(config: CacheConfig) -> None:
    """Fills that trickle for ever must not keep everybody else from what they ask for."""
    config = config.model_copy(update={"fills_max": 1, "fill_idle_s": 1})
    async with ImageCache(config, Instruments()) as cache, asyncio.TaskGroup() as group:
        trickling = GatedSource(CONTENT, released=0)

        async def trickle() -> None:
            for to in range(1, CONTENT.size_bytes):
                trickling.release(to)
                await asyncio.sleep(0.05)

        task = group.create_task(trickle())
        async with cache.open(BLOB, trickling):
            other = Noise(MIB, seed=7)
            source = GatedSource(other)
            assert await fetch(cache, source, blob_of(other, "other")) == (other.read(), Outcome.BYPASS)
        task.cancel()


async def test_closing_the_cache_tells_readers_and_leaves_the_rest_to_the_next_start(config: CacheConfig) -> None:
    source = GatedSource(CONTENT, released=MIB)
    async with ImageCache(config, Instruments()) as cache:
        opened = cache.open(BLOB, source)
        reader = await opened.__aenter__()
        await reader.beyond(0)
    with pytest.raises(Abandoned):
        await reader.beyond(2 * MIB)
    await opened.__aexit__(None, None, None)
    async with ImageCache(config, Instruments()) as cache:
        again = GatedSource(CONTENT)
        assert await fetch(cache, again) == (CONTENT.read(), Outcome.MISS)
        assert 0 < again.offsets[0] <= MIB
