"""What a worker does that was stopped between two steps and wakes when others have gone on without it."""

import asyncio
import errno
import fcntl
import os
import threading
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from cache import CacheConfig, ImageCache, Outcome, charge_bytes, leaving
from cache.books import Books
from cache.claims import Claim, Role
from cache.demand import Demand
from cache.disk import Folder
from cache.errors import GoneRound
from cache.files import Mark, become_filler, become_reader, look, set_mark, stop_filling
from cache.fill import Fill
from cache.flight import Flight
from cache.flights import Flights
from cache.follow import Ending, follow
from cache.holding import DiskWait
from cache.room import Room
from metrics import Instruments
from tests.cache.reading import BLOB, CONTENT, fetch, files_in, read_all
from tests.cache.sources import GatedSource, blob_of
from tests.content import KIB, MIB, Noise

SIZE_BYTES = CONTENT.size_bytes


async def test_a_filler_that_is_gone_round_before_the_store_answers_writes_nothing(
    cache: ImageCache, folder: Folder
) -> None:
    """Its promise is gone by then, and what it had to say of its file is no more to be said."""
    sizes_bytes: list[list[int]] = []

    class Source(GatedSource):
        @asynccontextmanager
        async def __call__(self, offset: int, stop: int | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
            async with super().__call__(offset, stop) as chunks:
                await asyncio.to_thread(self.go_round)
                yield chunks

        def go_round(self) -> None:
            if self.opened == 1:
                (path,) = folder.fills_of(BLOB.key)
                folder.retire(path)
            sizes_bytes.append([path.stat().st_size for path in (folder.root / "leaving").iterdir()])

    await cache.store(BLOB, Source(CONTENT))  # by another fill
    assert sizes_bytes == [[0], [0]]


async def test_who_goes_round_a_filler_and_is_gone_round_himself_copies_no_more(
    cache: ImageCache, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cache.fill._COPY_BYTES", MIB)
    hung = await asyncio.to_thread(folder.claim, "hung", SIZE_BYTES)
    mine = await asyncio.to_thread(folder.claim, BLOB.key, SIZE_BYTES)
    await asyncio.to_thread(os.pwrite, hung.fd, CONTENT.read(), 0)
    adopt = Fill._adopt

    def then_gone_round(fill: Fill, *args: Any) -> int:
        try:
            return adopt(fill, *args)
        finally:
            folder.retire(mine.path)

    monkeypatch.setattr(Fill, "_adopt", then_gone_round)
    flight, wait = Flight(BLOB, GatedSource(CONTENT), may_fill=True), DiskWait(lambda: None, lambda: None)
    fill = Fill(flight, mine, cache._flights._tools, wait)
    with pytest.raises(GoneRound):
        await fill.adopt(hung.fd, SIZE_BYTES)
    assert os.fstat(mine.fd).st_size == MIB
    os.close(hung.fd)
    os.close(mine.fd)


def test_what_a_filler_that_was_gone_round_may_have_in_its_hands_counts(folder: Folder) -> None:
    """It may have asked whether its file is its own, and been stopped before it wrote."""
    hung = folder.claim(BLOB.key, SIZE_BYTES)
    set_mark(hung.fd, Mark.FLOWING)
    hung.path.rename(folder.root / "leaving" / "image-1.1.0")  # by who was killed before he could mark it
    assert folder.sweep_leaving() >= 4 * MIB
    assert look(hung.fd).mark is Mark.LEFT
    stop_filling(hung.fd)
    assert folder.sweep_leaving() == 0  # read by nobody but him who has it open here
    os.close(hung.fd)


def test_a_fill_that_its_own_filler_takes_away_counts_for_what_is_in_it(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """He writes nothing any more. Others who need room just then would remove an entry for what will never come."""
    counted_bytes: list[int] = []

    def seen(path: Path) -> int:
        counted_bytes.append(rest_bytes(path))
        return counted_bytes[-1]

    rest_bytes = leaving._rest_bytes
    monkeypatch.setattr(leaving, "_rest_bytes", seen)
    mine = folder.claim(BLOB.key, SIZE_BYTES)
    os.ftruncate(mine.fd, MIB)
    folder.retire_fill(mine.path, mine.fd)
    assert counted_bytes == [MIB]
    assert look(mine.fd).mark is Mark.LEFT
    os.close(mine.fd)
    assert folder.sweep_leaving() == 0


def test_who_removes_what_is_out_of_use_does_not_have_it_open(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped when the name is gone, he would keep bytes that nobody can see to count."""
    left = folder.root / "leaving" / "image-1.1.0"
    left.write_bytes(CONTENT.read(0, MIB))
    open_then: list[str] = []
    unlink = Path.unlink

    def seen(path: Path, **how: bool) -> None:
        unlink(path, **how)
        open_then.extend(str(item.readlink()) for item in Path("/proc/self/fd").iterdir() if item.exists())

    monkeypatch.setattr(Path, "unlink", seen)
    assert folder.sweep_leaving() == 0
    assert open_then
    assert not [name for name in open_then if name.startswith(str(left))]


def test_what_was_opened_in_the_last_moment_counts_until_it_is_closed(folder: Folder) -> None:
    """Who opened it has not yet asked for the reader's lock, nor whether its name is still its own."""
    taken, path = taken_entry(folder), folder.entry_path(BLOB.key)
    with path.open("rb"):
        folder.remove_entry(BLOB.key, taken)
        assert not path.exists()
        assert folder.sweep_leaving() == MIB
    assert folder.sweep_leaving() == 0


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EACCES, errno.ENOMEM], ids=errno.errorcode.get)
def test_what_is_evicted_goes_where_the_file_system_has_no_leases(
    folder: Folder, config: CacheConfig, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    control, refused = fcntl.fcntl, list[int]()

    def without_leases(fd: int, command: int, *argument: Any) -> Any:
        if command in {fcntl.F_SETSIG, fcntl.F_SETLEASE}:
            refused.append(command)
            raise OSError(number, os.strerror(number))
        return control(fd, command, *argument)

    taken = taken_entry(folder)
    monkeypatch.setattr(fcntl, "fcntl", without_leases)
    folder.remove_entry(BLOB.key, taken)
    assert refused
    assert [files_in(config, part) for part in ("entries", "leaving")] == [[], []]


def test_an_entry_goes_also_where_the_disk_has_no_room_for_another_name(
    folder: Folder, config: CacheConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, to: Path) -> Path:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path), None, str(to))

    taken = taken_entry(folder)
    monkeypatch.setattr(Path, "rename", full)
    folder.remove_entry(BLOB.key, taken)
    assert [files_in(config, part) for part in ("entries", "leaving")] == [[], []]


def taken_entry(folder: Folder) -> int:
    """One of a MiB, with sums, as an evictor has it."""
    path = folder.entry_path(BLOB.key)
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT.read(0, MIB))
    folder.sums_path(BLOB.key).write_bytes(b"sums")
    taken = folder.take_unread(BLOB.key)
    assert taken is not None
    return taken


def test_an_entry_that_is_being_removed_counts_until_nobody_has_it_open(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row may be forgotten by any process that finds no file of its name, also while its remover is stopped."""
    taken, path, close = taken_entry(folder), folder.entry_path(BLOB.key), os.close
    counted_bytes: list[int] = []

    def seen(fd: int) -> None:
        if fd == taken and not counted_bytes:  # the number is given out again
            assert not path.exists()
            counted_bytes.append(folder.sweep_leaving())
        close(fd)

    monkeypatch.setattr(os, "close", seen)
    folder.remove_entry(BLOB.key, taken)
    assert counted_bytes == [MIB]
    assert list((folder.root / "leaving").iterdir()) == []


def test_a_new_file_that_another_process_got_hold_of_is_filled_by_that_one_alone(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    hung = folder.claim(BLOB.key, SIZE_BYTES)
    faster: list[Claim] = []

    def after_another(fd: int) -> bool:
        if not faster:
            monkeypatch.undo()
            faster.append(folder.claim(BLOB.key, SIZE_BYTES))
        return become_filler(fd)

    monkeypatch.setattr("cache.claims.become_filler", after_another)
    assert folder.supersede(BLOB.key, SIZE_BYTES, hung.path) is None
    assert [claim.role for claim in faster] == [Role.FILLER]
    for claim in (hung, *faster):
        os.close(claim.fd)


@pytest.mark.parametrize(("written_bytes", "ending"), [(MIB, Ending.FAILED), (0, Ending.LEFT)])
async def test_a_fill_that_fails_between_a_followers_look_and_its_lock_is_not_gone_on_with(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, written_bytes: int, ending: Ending
) -> None:
    filler = await asyncio.to_thread(folder.claim, BLOB.key, SIZE_BYTES)
    os.ftruncate(filler.fd, written_bytes)
    set_mark(filler.fd, Mark.FLOWING)
    follower = await asyncio.to_thread(folder.claim, BLOB.key, SIZE_BYTES)
    assert follower.role is Role.FOLLOWER

    def after_it_failed(fd: int) -> bool:
        set_mark(filler.fd, Mark.FAILED)
        stop_filling(filler.fd)
        return become_filler(fd)

    monkeypatch.setattr("cache.follow.become_filler", after_it_failed)
    flight = Flight(BLOB, GatedSource(CONTENT), may_fill=True)
    demand = await asyncio.to_thread(Demand, folder.root / "demand.lock")
    flight.locate(follower)
    async with asyncio.timeout(30):
        assert await follow(flight, follower, demand, stall_s=10) is ending
    assert become_filler(filler.fd), "nobody waits for a lock that nobody needs"
    demand.close()
    os.close(filler.fd)
    os.close(follower.fd)


def test_a_filler_that_was_stopped_when_it_had_failed_keeps_nobody_from_the_image(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cache.claims._CLAIM_TRIES", 3)
    failed = folder.claim(BLOB.key, SIZE_BYTES)
    set_mark(failed.fd, Mark.FAILED)
    new = folder.claim(BLOB.key, SIZE_BYTES)
    assert new.role is Role.FILLER
    assert look(failed.fd).mark is Mark.FAILED, "its followers are still to be told"
    os.close(failed.fd)
    os.close(new.fd)


def test_who_was_stopped_while_it_made_room_removes_no_new_entry(
    folder: Folder, config: CacheConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operator evicted the old one meanwhile, and somebody asked for it again and reads it."""
    books = Books(folder, config)
    books.open()
    path = folder.entry_path(BLOB.key)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"old")
    books.commit("image-1.1", BLOB)
    readers: list[int] = []
    take = Folder.take_unread

    def then_replaced(folder: Folder, key: str) -> int | None:
        taken = take(folder, key)
        folder.retire_entry(key)
        path.write_bytes(b"new")
        readers.append(os.open(path, os.O_RDONLY))
        assert become_reader(readers[0])
        return taken

    monkeypatch.setattr(Folder, "take_unread", then_replaced)
    room = Room(books, config, Instruments(), lambda *_: None)
    room._make_room(charge_bytes(SIZE_BYTES), 0, config.size_max)
    assert path.exists()
    assert books.index.usage().entries == 1
    os.close(readers[0])
    books.index.close()


async def test_what_a_failed_publication_has_written_goes(
    cache: ImageCache, config: CacheConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        folder = Folder(config.dir)
        folder.sums_path(BLOB.key).write_bytes(b"12")
        raise OSError("no space left")

    with monkeypatch.context() as disk:
        disk.setattr("cache.disk.write_durably", full)
        async with cache.open(BLOB, GatedSource(CONTENT)) as reader:
            await reader.beyond(SIZE_BYTES - 1)
            async with asyncio.timeout(30):
                while (await cache.usage()).reserved_bytes:  # noqa: ASYNC110 - no event for tests
                    await asyncio.sleep(0.02)
    assert files_in(config, "entries") == []


def test_what_moves_while_it_is_counted_is_counted(
    folder: Folder, config: CacheConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who is cut in a moment still reads what was found damaged, and an operator has that removed."""
    books = Books(folder, config)
    books.open()
    damaged = folder.root / "quarantine" / "image-1.0"
    damaged.write_bytes(b"damaged")
    reader = os.open(damaged, os.O_RDONLY)
    assert become_reader(reader)
    sweep, count = Folder.sweep_leaving, Folder.quarantined_bytes

    def then_cleaned(counted: Any) -> Any:
        def counted_and_cleaned(folder: Folder) -> int:
            size_bytes: int = counted(folder)
            folder.empty_quarantine()
            return size_bytes

        return counted_and_cleaned

    monkeypatch.setattr(Folder, "sweep_leaving", then_cleaned(sweep))
    monkeypatch.setattr(Folder, "quarantined_bytes", then_cleaned(count))
    assert books.aside_bytes() >= len(b"damaged")
    os.close(reader)
    books.index.close()


async def test_who_is_held_up_himself_does_not_take_others_for_hung(
    config: CacheConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As all workers are, when a host stops the machine or somebody the container: he may be the first to go on."""
    beat = Flights.beat

    def a_little_later(*args: Any) -> None:
        time.sleep(0.3)
        beat(*args)

    monkeypatch.setattr(Flights, "beat", a_little_later)
    soon = config.model_copy(update={"stall_s": 2.0, "fill_idle_s": 30.0})
    async with ImageCache(soon, Instruments()) as filling, ImageCache(soon, Instruments()) as following:
        source, never = GatedSource(CONTENT, released=MIB), GatedSource(CONTENT)
        async with filling.open(BLOB, source) as leader, following.open(BLOB, never) as follower:
            await asyncio.gather(leader.beyond(0), follower.beyond(0))
            time.sleep(soon.stall_s + 0.2)  # noqa: ASYNC251 - both of them
            await asyncio.sleep(0.5)
            source.release()
            assert await read_all(follower) == CONTENT.read()
    assert (source.opened, never.opened) == (1, 0)


async def test_locks_that_the_system_has_no_room_for_send_nobody_away(
    cache: ImageCache, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(Demand, "tell", refuse)
    elsewhere = await asyncio.to_thread(folder.claim, BLOB.key, SIZE_BYTES)
    assert await fetch(cache, GatedSource(CONTENT)) == (CONTENT.read(), Outcome.BYPASS)
    os.close(elsewhere.fd)


async def test_a_fill_that_changes_hands_waits_for_no_turn(config: CacheConfig) -> None:
    """Its clients have begun, and a long fill may be before it."""
    single = config.model_copy(update={"fills_max": 1, "fill_idle_s": 300.0})
    async with ImageCache(single, Instruments()) as survivor, AsyncExitStack() as stack:
        other = Noise(MIB, seed=3)
        busy = GatedSource(other, released=512 * KIB)
        await (await stack.enter_async_context(survivor.open(blob_of(other, "other"), busy))).beyond(0)
        source, more = GatedSource(CONTENT, released=2 * MIB), GatedSource(CONTENT)
        async with ImageCache(single, Instruments()) as dying, dying.open(BLOB, source) as leader:
            await leader.beyond(MIB)
            follower = await stack.enter_async_context(survivor.open(BLOB, more))
            assert await follower.beyond(0) > 0
        async with asyncio.timeout(30):
            assert await read_all(follower) == CONTENT.read()
        busy.release()


def left(config: CacheConfig) -> bool:
    """Whether a fill is out of use, and says so."""
    return any(path.stat().st_mode & 0o777 == Mark.LEFT for path in (config.dir / "leaving").iterdir())


async def test_a_fill_that_could_not_be_published_is_filled_again_while_a_follower_still_reads_it(
    config: CacheConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else an image that always has a reader would never be cached again."""
    seen_whole = threading.Event()

    def refuse(*_: object) -> None:
        seen_whole.wait(30)
        raise OSError(errno.ENOSPC, "no space left on device")

    async with ImageCache(config, Instruments()) as filling, ImageCache(config, Instruments()) as following:
        source = GatedSource(CONTENT, released=MIB)
        async with filling.open(BLOB, source) as leader, following.open(BLOB, GatedSource(CONTENT)) as follower:
            await asyncio.gather(leader.beyond(0), follower.beyond(0))
            with monkeypatch.context() as full:
                full.setattr(Folder, "publish", refuse)
                source.release()
                assert await read_all(follower) == CONTENT.read()
                seen_whole.set()
                async with asyncio.timeout(30):
                    while not await asyncio.to_thread(left, config):  # noqa: ASYNC110 - no event for tests
                        await asyncio.sleep(0.02)
            assert await fetch(following, GatedSource(CONTENT)) == (CONTENT.read(), Outcome.MISS)


async def test_who_asks_at_a_start_goes_on_with_a_fill_whatever_else_looks_at_it(
    config: CacheConfig, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever wants to know whether somebody fills it has the filler's lock for a moment."""
    looked, has_asked, sweep = threading.Event(), threading.Event(), Books.sweep

    def slowly(folder: Folder, path: Path) -> bool:
        fd = os.open(path, os.O_RDWR)
        is_orphan = become_filler(fd)
        looked.set()
        has_asked.wait(30)
        os.close(fd)
        return is_orphan

    def swept(books: Books) -> list[str]:
        try:
            return sweep(books)
        finally:
            looked.set()

    left = await asyncio.to_thread(folder.claim, BLOB.key, SIZE_BYTES)
    await asyncio.to_thread(os.pwrite, left.fd, CONTENT.read(0, MIB), 0)
    os.close(left.fd)
    monkeypatch.setattr("cache.housekeeping._EVERY_S", 3600)
    monkeypatch.setattr(Folder, "is_orphan", slowly)
    monkeypatch.setattr(Books, "sweep", swept)
    async with ImageCache(config, Instruments()) as cache:
        assert await asyncio.to_thread(looked.wait, 30)
        claim = await asyncio.to_thread(folder.claim, BLOB.key, SIZE_BYTES)
        has_asked.set()
        assert (claim.role, claim.size_bytes) == (Role.FILLER, MIB)
        os.close(claim.fd)
        assert await fetch(cache, GatedSource(CONTENT)) == (CONTENT.read(), Outcome.MISS)


async def test_who_came_before_a_fill_was_put_in_line_waits_for_its_turn_no_longer_than_others(
    config: CacheConfig, folder: Folder
) -> None:
    """Its file is there a moment before it says that others are before it."""
    filler = await asyncio.to_thread(folder.claim, BLOB.key, SIZE_BYTES)
    async with ImageCache(config.model_copy(update={"fill_idle_s": 0.5}), Instruments()) as cache:
        asking = asyncio.ensure_future(fetch(cache, GatedSource(CONTENT)))  # noqa: TID251 - awaited below
        async with asyncio.timeout(30):
            while not ((flight := cache._flights.get(BLOB.key)) and flight.progress.is_started):  # noqa: ASYNC110 - no event for tests
                await asyncio.sleep(0.001)
        set_mark(filler.fd, Mark.QUEUED)
        assert await asking == (CONTENT.read(), Outcome.BYPASS)
    os.close(filler.fd)
