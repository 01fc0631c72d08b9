"""What a start finds, and what it does about it; entries that are read back."""

import asyncio
import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from cache import CacheConfig, DiskFailed, FillFailed, ImageCache, Outcome, UnknownFormat, Verdict
from cache.disk import Folder, Shard
from metrics import Instruments
from tests.cache.reading import BLOB, CONTENT, fetch, files_in, flip, read_all
from tests.cache.sources import GatedSource, blob_of
from tests.content import MIB, Noise
from tests.descriptors import count_open, links_of
from tests.disk.faults import DISK_FAULTS
from tests.disk.shim import DiskFaults


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


async def test_a_folder_that_could_not_be_read_at_the_start_is_read_again(
    config: CacheConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has lost its row counts all the same."""
    async with ImageCache(config, Instruments()) as cache:
        await cache.store(BLOB, GatedSource(CONTENT))
    for path in config.dir.glob("index.db*"):
        path.unlink()
    scan, refusals = Folder.scan, [OSError(errno.EMFILE, "too many open files")]

    def scan_later(folder: Folder) -> Iterator[Shard]:
        if refusals:
            raise refusals.pop()
        return scan(folder)

    monkeypatch.setattr(Folder, "scan", scan_later)
    async with ImageCache(config, Instruments()) as cache:
        assert (await cache.usage()).entries == 1
    assert not refusals


async def test_a_lowered_limit_is_obeyed_at_the_next_start(config: CacheConfig) -> None:
    async with ImageCache(config, Instruments()) as cache:
        for n in range(4):
            content = Noise(4 * MIB, seed=n)
            await cache.store(blob_of(content, f"image-{n}"), GatedSource(content))
    lower = config.model_copy(update={"size_max": 9 * MIB})
    async with ImageCache(lower, Instruments()) as cache:
        assert [entry.key for entry in await cache.entries()] == ["image-3", "image-2"]


async def test_leftovers_of_a_power_cut_go_at_the_next_start(config: CacheConfig) -> None:
    async with ImageCache(config, Instruments()):
        pass
    (config.dir / "BOOT").write_text("before a power cut")
    (config.dir / "fills" / "image-1.1").write_bytes(b"half")
    shard = config.dir / "entries" / "im"
    shard.mkdir()
    (shard / "image-9.sums").write_bytes(b"12345678")
    async with ImageCache(config, Instruments()) as cache:
        assert await cache.entries() == []
    assert files_in(config, "fills") == files_in(config, "entries") == []


async def test_leftovers_of_a_killed_process_go_when_nobody_goes_on_with_them(
    config: CacheConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cache.books._ORPHAN_S", 0.5)
    async with ImageCache(config, Instruments()):
        pass
    (config.dir / "fills" / "image-1.1").write_bytes(b"half")
    lost: list[str] = []
    async with ImageCache(config, Instruments()) as cache:
        cache.when_lost(lost.append)
        async with asyncio.timeout(30):
            while files_in(config, "fills"):  # noqa: ASYNC110 - the cache has no event for its tests
                await asyncio.sleep(0.05)
    assert lost == ["image-1"]


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
    await asyncio.to_thread(flip, config.dir / "entries" / BLOB.key[:2] / BLOB.key, MIB)
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
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            checks = [
                group.create_task(cache.store(blob_of(CONTENT, key), GatedSource(CONTENT)), name=key) for key in keys
            ]
            try:
                async with asyncio.timeout(20):
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

    async with asyncio.TaskGroup() as group:
        for turns in range(60):
            reading = group.create_task(read())
            for _ in range(turns % 3 + 1):
                await asyncio.sleep(0)
            reading.cancel()
            await asyncio.wait({reading})
    assert str(path) not in await asyncio.to_thread(lambda: list(links_of(os.getpid())))


async def test_storing_what_is_there_asks_no_store(cache: ImageCache) -> None:
    source = GatedSource(CONTENT)
    await cache.store(BLOB, source)
    await cache.store(BLOB, source)
    assert source.opened == 1


async def test_an_index_that_is_damaged_while_it_is_used_is_made_anew(
    config: CacheConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cache.housekeeping._EVERY_S", 0.05)
    async with ImageCache(config, Instruments()) as cache:
        await cache.store(BLOB, GatedSource(CONTENT))
        await asyncio.to_thread(overwrite, config.dir / "index.db")
        other = Noise(MIB, seed=5)
        async with asyncio.timeout(30):
            while True:
                try:
                    await cache.store(blob_of(other, "other-1"), GatedSource(other))
                    break
                except DiskFailed:
                    await asyncio.sleep(0.05)
        assert {entry.key for entry in await cache.entries()} == {BLOB.key, "other-1"}
        assert (await cache.usage()).reserved_bytes == 0


def overwrite(path: Path) -> None:
    for file in path.parent.glob(f"{path.name}*"):
        if not file.name.endswith("-shm"):
            with file.open("r+b") as opened:
                opened.write(b"\xff" * file.stat().st_size)


async def test_a_cache_may_lie_on_a_disk_of_its_own(config: CacheConfig) -> None:
    (config.dir / "lost+found").mkdir(parents=True)
    async with ImageCache(config, Instruments()) as cache:
        assert (await fetch(cache, GatedSource(CONTENT)))[0] == CONTENT.read()


async def test_who_reads_an_entry_that_is_found_damaged_is_cut_before_its_end(
    cache: ImageCache, config: CacheConfig
) -> None:
    await cache.store(BLOB, GatedSource(CONTENT))
    async with cache.open(BLOB, GatedSource(CONTENT)) as reader:
        assert await read_all(reader, 0, MIB) == CONTENT.read(0, MIB)
        await asyncio.to_thread(flip, config.dir / "entries" / BLOB.key[:2] / BLOB.key, 7)
        assert await cache.verify(BLOB.key) is Verdict.DAMAGED
        with pytest.raises(FillFailed):
            await read_all(reader, MIB)
    assert await fetch(cache, GatedSource(CONTENT)) == (CONTENT.read(), Outcome.MISS)


OTHER = blob_of(CONTENT, "other-1")


async def is_gone_round(cache: ImageCache, instruments: Instruments) -> None:
    """Clients have their bytes past it, and who asks for the cache itself is told."""
    assert await fetch(cache, GatedSource(CONTENT)) == (CONTENT.read(), Outcome.BYPASS)
    assert instruments.registry.get_sample_value("glint_disk_state") == 1
    for refused in (cache.entries(), cache.usage(), cache.evict(BLOB.key), cache.store(OTHER, GatedSource(CONTENT))):
        with pytest.raises(DiskFailed):
            await refused


async def is_used_soon(cache: ImageCache, instruments: Instruments) -> None:
    async with asyncio.timeout(30):
        while instruments.registry.get_sample_value("glint_disk_state") != 0:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.02)
    assert (await fetch(cache, GatedSource(CONTENT)))[1] is not Outcome.BYPASS
    await cache.store(BLOB, GatedSource(CONTENT))
    assert await fetch(cache, GatedSource(CONTENT)) == (CONTENT.read(), Outcome.HIT)
    assert [entry.key for entry in await cache.entries()] == [BLOB.key]


@pytest.fixture
def _tried_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cache.housekeeping._EVERY_S", 0.02)


@pytest.mark.usefixtures("_tried_often")
@pytest.mark.parametrize("had_a_cache", [False, True])
@pytest.mark.parametrize("fault", ["full", "over quota", "read-only", "EIO on all"])
async def test_a_start_on_a_bad_disk_goes_round_it_until_it_is_well(
    config: CacheConfig, instruments: Instruments, fault: str, *, had_a_cache: bool
) -> None:
    if had_a_cache:
        async with ImageCache(config, Instruments()) as cache:
            await cache.store(BLOB, GatedSource(CONTENT))
        (config.dir / "demand.lock").unlink()  # else a full disk that nothing is to be written to would do
    with DiskFaults(config.dir) as disk, capture_logs() as logs:
        DISK_FAULTS[fault](disk)
        async with ImageCache(config, instruments) as cache:
            await is_gone_round(cache, instruments)
            assert disk.fired
            disk.heal()
            await is_used_soon(cache, instruments)
    assert [entry["log_level"] for entry in logs if entry["event"] == "cache.unopened"] == ["error"]


@pytest.mark.usefixtures("_tried_often")
@pytest.mark.parametrize(
    "error",
    [
        sqlite3.OperationalError("database or disk is full"),
        sqlite3.OperationalError("disk I/O error"),
        sqlite3.OperationalError("attempt to write a readonly database"),
    ],
    ids=str,
)
async def test_a_start_goes_round_a_disk_that_refuses_the_index(
    config: CacheConfig, instruments: Instruments, monkeypatch: pytest.MonkeyPatch, error: sqlite3.Error
) -> None:
    def refuse(_path: Path) -> None:
        raise error

    before = count_open()
    with monkeypatch.context() as refusing:
        refusing.setattr("cache.books.Index", refuse)
        async with ImageCache(config, instruments) as cache:
            await is_gone_round(cache, instruments)
            refusing.undo()
            monkeypatch.setattr("cache.housekeeping._EVERY_S", 0.02)
            await is_used_soon(cache, instruments)
    assert count_open() == before


@pytest.mark.usefixtures("_tried_often")
async def test_a_start_goes_round_an_index_that_another_process_has_locked(
    config: CacheConfig, instruments: Instruments, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cache.index_file._BUSY_S", 0.05)
    config.dir.mkdir()
    with closing(sqlite3.connect(config.dir / "index.db", isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        async with ImageCache(config, instruments) as cache:
            await is_gone_round(cache, instruments)
            other.close()
            await is_used_soon(cache, instruments)


@pytest.mark.usefixtures("_tried_often")
async def test_a_folder_that_turns_out_to_be_another_ones_stays_untouched(
    config: CacheConfig, instruments: Instruments
) -> None:
    config.dir.mkdir()
    (config.dir / "precious").write_text("data")
    with DiskFaults(config.dir) as disk, capture_logs() as logs:
        disk.dead()
        async with ImageCache(config, instruments) as cache:
            disk.heal()
            async with asyncio.timeout(30):
                while "not a cache folder" not in str(logs):  # noqa: ASYNC110 - nor has the log
                    await asyncio.sleep(0.02)
            await is_gone_round(cache, instruments)
            assert [path.name for path in config.dir.iterdir()] == ["precious"]
            (config.dir / "precious").unlink()
            await is_used_soon(cache, instruments)


@pytest.mark.parametrize("error", [errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG], ids=os.strerror)
async def test_a_folder_that_the_configuration_makes_unusable_is_an_error_at_the_start(
    config: CacheConfig, error: int
) -> None:
    with DiskFaults(config.dir) as disk:
        disk.fail("open", error, times=None)
        with pytest.raises(DiskFailed, match=errno.errorcode[error]):
            async with ImageCache(config, Instruments()):
                pass


async def test_a_folder_below_a_file_is_an_error_at_the_start(config: CacheConfig) -> None:
    config.dir.write_text("a file")
    below = config.model_copy(update={"dir": config.dir / "below"})
    with pytest.raises(DiskFailed, match=os.strerror(errno.ENOTDIR)):
        async with ImageCache(below, Instruments()):
            pass


async def test_an_index_that_may_not_be_opened_is_an_error_at_the_start(
    config: CacheConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite says the same of it as of a bad disk."""
    async with ImageCache(config, Instruments()):
        pass

    def refuse(_path: Path) -> None:
        raise sqlite3.OperationalError("unable to open database file")

    monkeypatch.setattr("cache.books.Index", refuse)
    monkeypatch.setattr("cache.books.os.access", lambda path, _mode: Path(path) != config.dir / "index.db")
    with pytest.raises(DiskFailed, match=os.strerror(errno.EACCES)):
        async with ImageCache(config, Instruments()):
            pass
