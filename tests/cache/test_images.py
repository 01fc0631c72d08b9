"""The disk cache by its face: what a reader gets, how often the store is asked, what lies on disk afterwards."""

import asyncio
import hashlib
import os
from pathlib import Path

import pytest

from cache import (
    Abandoned,
    Blob,
    CacheConfig,
    DigestMismatch,
    DiskFailed,
    ImageCache,
    Outcome,
    Reader,
    Stalled,
    UnknownFormat,
    WrongSize,
)
from metrics import Instruments
from tests.cache.sources import GatedSource, blob_of
from tests.content import KIB, MIB, Noise

CONTENT = Noise(3 * MIB + 17, seed=1)
BLOB = blob_of(CONTENT)


class StoreBroke(Exception):
    """What a store might raise."""


async def read_all(reader: Reader, start: int = 0, stop: int | None = None) -> bytes:
    """What a client would get, by descriptor or past the cache."""
    assert reader.blob.size_bytes is not None
    stop = reader.blob.size_bytes if stop is None else stop
    if reader.fd is None:
        async with reader.direct(start) as chunks:
            return b"".join([chunk async for chunk in chunks])[: stop - start]
    parts = []
    at = start
    while at < stop:
        upto = min(await reader.beyond(at), stop)
        parts.append(await asyncio.to_thread(os.pread, reader.fd, upto - at, at))
        at = upto
    return b"".join(parts)


async def fetch(cache: ImageCache, source: GatedSource, blob: Blob = BLOB) -> tuple[bytes, Outcome]:
    async with cache.open(blob, source) as reader:
        return await read_all(reader), reader.outcome


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def files_in(config: CacheConfig, folder: str) -> list[str]:
    return sorted(path.name for path in (config.dir / folder).rglob("*") if path.is_file())


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
    source = GatedSource(content, piece_bytes=KIB)
    answers = await asyncio.gather(*(fetch(cache, source, blob_of(content)) for _ in range(1000)))
    assert {body for body, _ in answers} == {content.read()}
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
        assert await fetch(cache, again) == (CONTENT.read(), Outcome.MISS)
        await cache.store(BLOB, again)
    assert (source.opened, source.closed, again.opened) == (1, 1, 1)
    assert files_in(config, "fills") == []


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
    async with ImageCache(config.model_copy(update={"fill_idle_s": 0.2}), instruments) as cache:
        source = GatedSource(CONTENT, **fault)  # type: ignore[arg-type]
        outcomes = await asyncio.gather(*(fetch(cache, source) for _ in range(5)), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [expected] * 5
        assert source.opened == 1
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
        assert (usage.entries, usage.committed_bytes, usage.reserved_bytes) == (0, 0, full)
    assert (await cache.usage()).reserved_bytes == 0


async def test_a_failed_fill_counts_until_its_last_reader_ends(cache: ImageCache) -> None:
    source = GatedSource(CONTENT, released=MIB, fail=StoreBroke())
    async with cache.open(BLOB, source) as reader:
        with pytest.raises(StoreBroke):
            await reader.beyond(MIB)
        with pytest.raises(StoreBroke):
            await cache.store(BLOB, source)
        assert (await cache.usage()).reserved_bytes >= CONTENT.size_bytes
    assert (await cache.usage()).reserved_bytes == 0


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
        async with asyncio.timeout(5):
            while (await cache.usage()).reserved_bytes:  # noqa: ASYNC110 - the cache has no event for its tests
                await asyncio.sleep(0.01)  # until the last fill has cleaned up


async def test_entries_and_their_order_survive_a_restart(config: CacheConfig) -> None:
    contents = {f"image-{n}": Noise(MIB, seed=n) for n in range(5)}
    async with ImageCache(config, Instruments()) as cache:
        for key, content in contents.items():
            await cache.store(blob_of(content, key), GatedSource(content))
        async with cache.open(blob_of(contents["image-1"], "image-1"), GatedSource(CONTENT)):
            pass
    async with ImageCache(config, Instruments()) as cache:
        assert [entry.key for entry in await cache.entries()] == ["image-1", "image-4", "image-3", "image-2", "image-0"]
        content = contents["image-3"]
        source = GatedSource(content)
        assert await fetch(cache, source, blob_of(content, "image-3")) == (content.read(), Outcome.HIT)
        assert source.opened == 0


async def test_a_lost_ledger_costs_recency_and_nothing_else(config: CacheConfig) -> None:
    async with ImageCache(config, Instruments()) as cache:
        await cache.store(BLOB, GatedSource(CONTENT))
    for path in config.dir.glob("index.db*"):
        path.unlink()
    async with ImageCache(config, Instruments()) as cache:
        assert [entry.key for entry in await cache.entries()] == [BLOB.key]
        assert (await fetch(cache, GatedSource(CONTENT)))[1] is Outcome.HIT


@pytest.mark.parametrize("damaged", [b"no database at all" * 100, b"SQLite format 3\0" + bytes(4080)])
async def test_a_damaged_ledger_costs_no_more_than_a_lost_one(config: CacheConfig, damaged: bytes) -> None:
    async with ImageCache(config, Instruments()) as cache:
        await cache.store(BLOB, GatedSource(CONTENT))
    (config.dir / "index.db").write_bytes(damaged)
    async with ImageCache(config, Instruments()) as cache:
        assert [entry.key for entry in await cache.entries()] == [BLOB.key]
        assert (await fetch(cache, GatedSource(CONTENT)))[1] is Outcome.HIT


async def test_a_lowered_limit_is_obeyed_at_the_next_start(config: CacheConfig) -> None:
    async with ImageCache(config, Instruments()) as cache:
        for n in range(4):
            content = Noise(4 * MIB, seed=n)
            await cache.store(blob_of(content, f"image-{n}"), GatedSource(content))
    lower = config.model_copy(update={"size_max": 9 * MIB})
    async with ImageCache(lower, Instruments()) as cache:
        assert [entry.key for entry in await cache.entries()] == ["image-3", "image-2"]


async def test_leftovers_of_a_killed_process_go_at_the_next_start(config: CacheConfig) -> None:
    async with ImageCache(config, Instruments()):
        pass
    (config.dir / "fills" / "image-1.0badcafe").write_bytes(b"half")
    shard = config.dir / "entries" / "im"
    shard.mkdir()
    (shard / "image-9.sums").write_bytes(b"12345678")
    async with ImageCache(config, Instruments()) as cache:
        assert await cache.entries() == []
    assert files_in(config, "fills") == files_in(config, "entries") == []


async def test_a_folder_of_another_format_is_left_alone(config: CacheConfig) -> None:
    config.dir.mkdir()
    (config.dir / "VERSION").write_text("glint-cache 999\n")
    (config.dir / "precious").write_text("data")
    with pytest.raises(UnknownFormat, match="glint-cache 999"):
        async with ImageCache(config, Instruments()):
            pass
    assert sorted(path.name for path in config.dir.iterdir()) == ["VERSION", "precious"]


async def test_a_folder_with_other_things_in_it_is_not_taken(config: CacheConfig) -> None:
    config.dir.mkdir()
    (config.dir / "precious").write_text("data")
    with pytest.raises(UnknownFormat, match="not a cache folder"):
        async with ImageCache(config, Instruments()):
            pass
    assert [path.name for path in config.dir.iterdir()] == ["precious"]


async def test_a_folder_whose_making_was_interrupted_is_made_anew(config: CacheConfig) -> None:
    config.dir.mkdir()
    (config.dir / "VERSION.new").write_text("glint-c")
    async with ImageCache(config, Instruments()) as cache:
        assert (await fetch(cache, GatedSource(CONTENT)))[0] == CONTENT.read()


async def test_an_entry_of_the_wrong_size_is_fetched_anew(cache: ImageCache, config: CacheConfig) -> None:
    await cache.store(BLOB, GatedSource(CONTENT))
    path = config.dir / "entries" / BLOB.key[:2] / BLOB.key
    await asyncio.to_thread(os.truncate, path, 100)
    source = GatedSource(CONTENT)
    assert await fetch(cache, source) == (CONTENT.read(), Outcome.MISS)
    await cache.store(BLOB, source)
    assert await fetch(cache, source) == (CONTENT.read(), Outcome.HIT)


async def test_storing_again_finds_a_flipped_bit_and_fetches_anew(cache: ImageCache, config: CacheConfig) -> None:
    await cache.store(BLOB, GatedSource(CONTENT))
    await asyncio.to_thread(_flip, config.dir / "entries" / BLOB.key[:2] / BLOB.key, MIB)
    source = GatedSource(CONTENT)
    await cache.store(BLOB, source)
    assert source.opened == 1
    assert (await fetch(cache, source))[0] == CONTENT.read()
    assert len(files_in(config, "quarantine")) == 2


async def test_entries_that_are_read_back_keep_no_client_waiting_and_no_stop(config: CacheConfig) -> None:
    """Files whose reading never ends by itself: more of them than there are threads for clients."""
    async with ImageCache(config, Instruments()) as cache:
        shard = config.dir / "entries" / "im"
        shard.mkdir(exist_ok=True)
        keys = [f"image-{n}" for n in range(100, 120)]
        for key in keys:
            (shard / key).symlink_to("/dev/zero")
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            checks = [
                group.create_task(cache.store(blob_of(CONTENT, key), GatedSource(CONTENT)), name=key) for key in keys
            ]
            try:
                async with asyncio.timeout(3):
                    assert await fetch(cache, GatedSource(CONTENT)) == (CONTENT.read(), Outcome.MISS)
            finally:
                for check in checks:
                    check.cancel()


async def test_a_local_file_opened_for_somebody_who_left_is_closed(cache: ImageCache, tmp_path: Path) -> None:
    path = tmp_path / "local"
    path.write_bytes(CONTENT.read())

    async def read() -> None:
        async with cache.open_local(path, BLOB):
            pass

    before = open_descriptors()
    async with asyncio.TaskGroup() as group:
        for turns in range(60):
            reading = group.create_task(read())
            for _ in range(turns % 3 + 1):
                await asyncio.sleep(0)
            reading.cancel()
            await asyncio.wait({reading})
    assert open_descriptors() == before


async def test_storing_what_is_there_asks_no_store(cache: ImageCache) -> None:
    source = GatedSource(CONTENT)
    await cache.store(BLOB, source)
    await cache.store(BLOB, source)
    assert source.opened == 1


async def test_a_disk_that_refuses_writes_costs_no_client_a_byte(
    cache: ImageCache, config: CacheConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def full_after_one_mib(fd: int, data: memoryview, offset: int) -> None:
        nonlocal calls
        calls += 1
        if offset >= MIB:
            raise OSError(28, "No space left on device")
        os.pwrite(fd, data, offset)

    monkeypatch.setattr("cache.fill.write_all", full_after_one_mib)
    async with cache.open(BLOB, GatedSource(CONTENT)) as reader:
        with pytest.raises(DiskFailed):
            await reader.beyond(2 * MIB)
        at = await reader.beyond(0)
        body = await read_all(reader, 0, at)
        async with reader.direct(at) as chunks:
            body += b"".join([chunk async for chunk in chunks])
    assert body == CONTENT.read()
    with pytest.raises(DiskFailed):
        await cache.store(BLOB, GatedSource(CONTENT))  # returns when all is cleaned up
    assert files_in(config, "fills") == []
    assert (await cache.usage()).reserved_bytes == 0


async def test_a_range_far_into_an_idle_image_reads_only_the_store(config: CacheConfig) -> None:
    near = config.model_copy(update={"range_wait_max": MIB})
    async with ImageCache(near, Instruments()) as cache:
        source = GatedSource(CONTENT)
        async with cache.open(BLOB, source, start=2 * MIB) as reader:
            assert reader.outcome is Outcome.BYPASS
            assert await read_all(reader, 2 * MIB, 3 * MIB) == CONTENT.read(2 * MIB, 3 * MIB)
        assert source.offsets == [2 * MIB]


async def test_no_more_fills_run_at_once_than_allowed(config: CacheConfig) -> None:
    async with ImageCache(config.model_copy(update={"fills_max": 2}), Instruments()) as cache:
        sources = [GatedSource(CONTENT, released=MIB) for _ in range(3)]
        waiting = asyncio.gather(
            *(fetch(cache, source, blob_of(CONTENT, f"image-{n}")) for n, source in enumerate(sources))
        )
        await asyncio.gather(*(source.asked.wait() for source in sources[:2]))
        assert [source.opened for source in sources] == [1, 1, 0]
        for source in sources:
            source.release()
        assert {outcome for _, outcome in await waiting} == {Outcome.MISS}


async def test_who_waits_too_long_for_a_turn_goes_past_the_cache(config: CacheConfig) -> None:
    """Fills that trickle for ever must not keep everybody else from what they ask for."""
    config = config.model_copy(update={"fills_max": 1, "fill_idle_s": 0.3})
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


async def test_closing_the_cache_ends_running_fills_and_tells_their_readers(config: CacheConfig) -> None:
    source = GatedSource(CONTENT, released=MIB)
    async with ImageCache(config, Instruments()) as cache:
        opened = cache.open(BLOB, source)
        reader = await opened.__aenter__()
        await reader.beyond(0)
    with pytest.raises(Abandoned):
        await reader.beyond(2 * MIB)
    await opened.__aexit__(None, None, None)
    assert files_in(config, "fills") == []


def _flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))
