"""What one worker finds when another, or its own disk, stopped between two steps."""

import asyncio
import os
import shutil
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from cache import CacheConfig, ImageCache, Outcome, Verdict
from cache.check import Check
from cache.claims import Role
from cache.disk import Folder, Found
from cache.errors import GoneRound
from cache.flight import Flight
from cache.holding import DiskWait
from cache.index import Index
from cache.ledger import Ledger
from cache.threads import DiskThreads
from cache.watch import DiskWatch
from cache.writer import Writer
from metrics import Instruments
from tests.cache.reading import BLOB, CONTENT, fetch, flip, read_all
from tests.cache.sources import GatedSource
from tests.content import MIB

SIZE_BYTES = CONTENT.size_bytes


async def test_an_entry_that_the_index_refuses_to_note_is_whole_and_noted_later(
    cache: ImageCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as locked:
        locked.setattr("cache.index.Index.commit", _refuse)
        await cache.store(BLOB, GatedSource(CONTENT))
    async with asyncio.timeout(30):
        while (await cache.usage()).entries != 1:  # noqa: ASYNC110 - no event for tests
            await asyncio.sleep(0.05)
    assert (await cache.usage()).reserved_bytes == 0


async def test_an_entry_whose_folder_could_not_be_synced_is_counted(
    cache: ImageCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has its name already: it will be read, so it must not lie there unknown."""
    publish = Folder.publish

    def then_fails(*args: Any) -> None:
        publish(*args)
        raise OSError("the folder cannot be synced")

    with monkeypatch.context() as failing:
        failing.setattr(Folder, "publish", then_fails)
        assert (await fetch(cache, GatedSource(CONTENT)))[0] == CONTENT.read()
        async with asyncio.timeout(30):
            while (await cache.usage()).reserved_bytes:  # noqa: ASYNC110 - no event for tests
                await asyncio.sleep(0.05)
    assert (await cache.usage()).entries == 1


async def test_an_entry_found_damaged_before_its_row_is_written_is_fetched_anew(
    cache: ImageCache, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks then must not join the fill that has published it and not ended yet."""
    ended, commit = asyncio.Event(), Ledger.commit

    async def later(*args: Any) -> None:
        await ended.wait()
        await commit(*args)

    monkeypatch.setattr(Ledger, "commit", later)
    assert (await fetch(cache, GatedSource(CONTENT)))[0] == CONTENT.read()
    async with asyncio.timeout(30):
        while not await asyncio.to_thread(folder.has_entry, BLOB.key):  # noqa: ASYNC110 - no event for tests
            await asyncio.sleep(0.01)
    await asyncio.to_thread(flip, folder.root / "entries" / BLOB.key[:2] / BLOB.key, MIB)
    assert await cache.verify(BLOB.key) is Verdict.DAMAGED
    assert (await fetch(cache, GatedSource(CONTENT)))[0] == CONTENT.read()
    ended.set()


async def test_who_asks_while_the_entry_is_being_removed_begins_anew(cache: ImageCache, folder: Folder) -> None:
    """The unlink of a large file takes a while."""
    await cache.store(BLOB, GatedSource(CONTENT))
    taken = await asyncio.to_thread(folder.take_unread, BLOB.key)
    assert taken is not None
    asking = asyncio.ensure_future(fetch(cache, GatedSource(CONTENT)))  # noqa: TID251 - awaited below
    await asyncio.sleep(0.2)
    await asyncio.to_thread(folder.remove_entry, BLOB.key, taken)
    assert await asking == (CONTENT.read(), Outcome.MISS)


def test_a_filler_that_was_gone_round_touches_no_new_fill_of_its_old_name(folder: Folder) -> None:
    old = folder.claim(BLOB.key, SIZE_BYTES)
    folder.retire(old.path)
    new = folder.claim(BLOB.key, SIZE_BYTES)
    assert (new.role, new.path) == (Role.FILLER, old.path)
    os.truncate(old.fd, SIZE_BYTES)
    with pytest.raises(GoneRound):
        folder.publish(BLOB.key, SIZE_BYTES, old.path, old.fd, b"")
    folder.retire_fill(old.path, old.fd)
    assert folder.is_growing(new)
    assert not folder.has_entry(BLOB.key)
    os.close(old.fd)
    os.close(new.fd)


async def test_an_index_that_is_removed_while_it_is_used_is_made_anew(cache: ImageCache, config: CacheConfig) -> None:
    await cache.store(BLOB, GatedSource(CONTENT))
    for path in config.dir.glob("index.db*"):
        path.unlink()
    usage = await cache.usage()
    assert (usage.entries, usage.committed_bytes >= SIZE_BYTES) == (1, True)


async def test_a_folder_that_is_removed_while_it_is_used_is_made_anew(cache: ImageCache, config: CacheConfig) -> None:
    await cache.store(BLOB, GatedSource(CONTENT))
    async with cache.open(BLOB, GatedSource(CONTENT)) as reader:
        await asyncio.to_thread(shutil.rmtree, config.dir)
        assert await read_all(reader) == CONTENT.read()
        for leftover in ("index.db", "trim.lock"):  # of other workers, who look for what was there
            config.dir.mkdir(exist_ok=True)
            (config.dir / leftover).touch()
        assert (await fetch(cache, GatedSource(CONTENT)))[0] == CONTENT.read()
    async with asyncio.timeout(30):
        while (await fetch(cache, GatedSource(CONTENT))) != (CONTENT.read(), Outcome.HIT):  # noqa: ASYNC110 - no event for tests
            await asyncio.sleep(0.1)
        while (await cache.usage()).entries != 1:  # noqa: ASYNC110 - noted a moment after it can be read
            await asyncio.sleep(0.01)


async def test_storing_what_somebody_reads_finds_a_flipped_bit_too(cache: ImageCache, folder: Folder) -> None:
    await cache.store(BLOB, GatedSource(CONTENT))
    again = GatedSource(CONTENT)
    async with cache.open(BLOB, again):
        flip(folder.entry_path(BLOB.key), 7)
        await cache.store(BLOB, again)
    assert again.opened == 1
    assert await fetch(cache, again) == (CONTENT.read(), Outcome.HIT)


async def test_a_local_file_opens_while_the_caches_disk_hangs(cache: ImageCache, tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(CONTENT.read())
    healed = threading.Event()
    hanging = [cache._openers.submit(healed.wait) for _ in range(64)]
    try:
        async with asyncio.timeout(30), cache.open_local(path, BLOB) as reader:
            assert await read_all(reader) == CONTENT.read()
    finally:
        healed.set()
    assert all(call.result() for call in hanging)


async def test_the_heartbeat_of_a_fill_tells_the_time(cache: ImageCache, config: CacheConfig) -> None:
    """An entry without a row is taken in by its time of writing, and the last beat may come after that was set."""
    source = GatedSource(CONTENT, released=MIB)
    async with cache.open(BLOB, source):
        cache._flights.beat(1)
        (fill,) = (config.dir / "fills").iterdir()
        assert abs(fill.stat().st_mtime - time.time()) < 60


def test_a_flight_whose_readers_were_sent_away_may_still_find_an_entry() -> None:
    flight = Flight(BLOB, GatedSource(CONTENT), may_fill=True)
    flight.progress.fail(OSError("the disk hung"))
    flight.read_whole()
    assert not flight.progress.is_finished


async def test_what_is_read_back_for_the_digest_takes_no_thread_from_reads_past_the_cache(tmp_path: Path) -> None:
    """As in a fill that goes on with a file of before: its pages may have to come from a disk that hangs."""
    data, path = CONTENT.read(), tmp_path / "fill"
    path.write_bytes(data[:MIB])
    check = Check(BLOB.key, BLOB.digest)
    healed, fd = threading.Event(), os.open(path, os.O_RDWR)
    with ThreadPoolExecutor(1) as busy, ThreadPoolExecutor(2) as threads:
        hanging = busy.submit(healed.wait)
        disk = DiskThreads(threads, DiskWatch(Instruments()))
        writer = Writer(
            fd,
            MIB,
            check,
            disk,
            busy,
            DiskWait(lambda: None, lambda: None),
            is_urgent=lambda: True,
            fence=lambda: None,
            written=lambda _: None,
            wrote_back=lambda _: None,
        )
        try:
            async with asyncio.timeout(30):
                await writer.put(data[MIB : MIB + 4096])
                await writer.flush()
        finally:
            healed.set()
            await writer.stop()
        assert hanging.result()
    os.close(fd)
    assert check.at == 2 * 4096


def test_a_large_repair_of_the_index_keeps_nobody_from_opening_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers start together, and one of them has the whole folder to take in."""
    monkeypatch.setattr("cache.index_file._BUSY_S", 0.1)
    files = {key: Found(key, 1000, 0.0) for key in (f"image-{n}" for n in range(400))}

    def slowly(key: str) -> Found:
        time.sleep(0.001)
        return files[key]

    index = Index(tmp_path / "index.db")
    with ThreadPoolExecutor(1) as threads:
        settling = threads.submit(index.settle, [[(0.0, key) for key in files]], slowly, lambda _: False)
        while not settling.done():
            Index(tmp_path / "index.db").close()
        assert settling.result() == len(files)
    assert index.usage().entries == len(files)
    index.close()


def test_a_commit_that_fails_holds_up_nobody(tmp_path: Path) -> None:
    index, other = Index(tmp_path / "index.db"), Index(tmp_path / "index.db")
    index._db.execute("PRAGMA foreign_keys = ON")
    index._db.execute("CREATE TABLE child (entry TEXT REFERENCES entries DEFERRABLE INITIALLY DEFERRED)")
    with pytest.raises(sqlite3.IntegrityError), index._write():  # as any commit that the disk refuses
        index._db.execute("INSERT INTO child VALUES ('none')")
    for each in (other, index):
        assert each.promise("image-1.1", BLOB, 2 * SIZE_BYTES, int)
        each.close()


def _refuse(*_: object) -> None:
    raise sqlite3.OperationalError("database is locked")


async def test_a_filler_that_was_gone_round_writes_nothing_of_what_it_has_in_its_hands(
    cache: ImageCache, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its promise is gone by then: what it wrote would lie there beyond the limit."""
    write = Writer._write
    sizes_bytes: list[int] = []

    def gone_round_before(writer: Writer, *args: Any) -> None:
        if sizes_bytes:
            return write(writer, *args)
        (path,) = folder.fills_of(BLOB.key)
        folder.retire(path)
        try:
            return write(writer, *args)
        finally:
            sizes_bytes.append(os.fstat(writer._fd).st_size)

    monkeypatch.setattr(Writer, "_write", gone_round_before)
    await cache.store(BLOB, GatedSource(CONTENT))  # by another fill
    assert sizes_bytes == [0]
