"""The table that workers share: what one writes the others read, and one of them asks."""

import asyncio
import os
import struct
from collections.abc import Awaitable, Iterator

import pytest

from metrics import Instruments
from upstream.errors import NotAsked, Unavailable
from upstream.stores.guard.circuits import Circuits, Line
from upstream.stores.guard.config import GuardConfig
from upstream.stores.guard.numbers import Numbers
from upstream.stores.notices import Notice, Notices, key_of, new_table
from upstream.stores.refusals import Refusals
from upstream.types import Location

KEY, OTHER = key_of("location", "web", 1, "http://user:secret@example.org/disk"), key_of("location", "web", 2, "")
TOLD = Notice(failures=3, until_s=12.5, word=1)
HERE = Location(url="http://user:secret@example.org/disk", id=1)


@pytest.fixture
def table() -> Iterator[int]:
    fd = new_table()
    yield fd
    os.close(fd)


@pytest.fixture
def workers(table: int) -> Iterator[tuple[Notices, Notices]]:
    first, second = Notices(table), Notices(table)
    yield first, second
    first.close()
    second.close()


def test_what_one_writes_the_other_reads_until_it_is_removed(workers: tuple[Notices, Notices]) -> None:
    first, second = workers
    first.write(KEY, TOLD)
    assert (second.read(KEY), second.read(OTHER)) == (TOLD, None)
    second.write(KEY, Notice(failures=4, until_s=13.0))
    assert first.read(KEY) == Notice(failures=4, until_s=13.0)
    first.remove(KEY)
    assert second.read(KEY) is None


def test_one_has_the_claim_until_he_gives_it_back_or_ends(table: int, workers: tuple[Notices, Notices]) -> None:
    first, second = workers
    first.write(KEY, TOLD)
    assert first.claim(KEY, 20.0)
    assert not first.claim(KEY, 20.0)
    assert not second.claim(KEY, 21.0)
    assert second.claim(OTHER, 21.0)
    told = second.read(KEY)
    assert told is not None
    assert told.asking_since_s == 20.0
    first.give_back(KEY)
    assert second.claim(KEY, 22.0)

    third = Notices(table)
    assert not third.claim(KEY, 23.0)
    second.give_back(KEY)
    assert third.claim(KEY, 24.0)
    assert not second.claim(KEY, 25.0)
    third.close()
    assert second.claim(KEY, 26.0)


def test_a_record_that_two_wrote_at_once_is_none(workers: tuple[Notices, Notices]) -> None:
    first, second = workers
    first.write(KEY, TOLD)
    at = first.memory.find(KEY)
    first.memory[at + 16 : at + 24] = struct.pack("<d", 1e9)
    assert second.read(KEY) is None
    second.write(KEY, TOLD)
    assert first.read(KEY) == TOLD


def test_nothing_in_it_tells_a_url_or_a_key(workers: tuple[Notices, Notices]) -> None:
    workers[0].write(KEY, TOLD)
    assert not any(word in workers[0].memory[:] for word in (b"secret", b"example", b"web"))


async def test_others_wait_for_the_worker_that_asks_and_take_its_outcome(workers: tuple[Notices, Notices]) -> None:
    now_s, asked, goes_on = 100.0, 0, asyncio.Event()

    async def opened() -> str:
        nonlocal asked
        asked += 1
        if asked == 2:
            await goes_on.wait()
        raise Unavailable("web")

    first, second = (Refusals(one, lambda: now_s, lambda: 0.0) for one in workers)
    with pytest.raises(Unavailable):
        await first.ask("web", HERE, opened)
    with pytest.raises(Unavailable):
        await second.ask("web", HERE, opened)
    assert asked == 1
    now_s += 0.3
    async with asyncio.TaskGroup() as group:
        asking = [group.create_task(_fails(one.ask("web", HERE, opened))) for one in (first, second) * 20]
        await asyncio.sleep(0.1)
        goes_on.set()
    assert {task.result() for task in asking} == {"Unavailable"}
    assert asked == 2


async def test_a_worker_that_was_stopped_while_it_asks_is_waited_for_ten_seconds_at_most(
    workers: tuple[Notices, Notices],
) -> None:
    now_s, asked = 100.0, 0

    async def opened() -> str:
        nonlocal asked
        asked += 1
        raise Unavailable("web")

    own = Refusals(workers[0], lambda: now_s, lambda: 0.0)
    assert await _fails(own.ask("web", HERE, opened)) == "Unavailable"
    now_s += 1
    assert workers[1].claim(key_of("location", "web", 1, HERE.url), now_s)
    now_s += 10
    assert await _fails(own.ask("web", HERE, opened)) == "Unavailable"
    assert asked == 1


async def _fails(asking: Awaitable[str]) -> str:
    try:
        return await asking
    except Unavailable as error:
        return type(error).__name__


def line_of(notices: Notices, place: str = "a") -> Line:
    config = GuardConfig(circuit_failures_max=1, circuit_open_max_s=0.2)
    return Circuits("web", config, Numbers("web", Instruments()), notices).line("peer", place)


def test_a_circuit_is_open_in_all_workers_and_one_of_them_probes(
    workers: tuple[Notices, Notices], monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 50.0
    monkeypatch.setattr("time.monotonic", lambda: now_s)
    first, second = (line_of(one) for one in workers)
    for line in (first, second):
        line.begin(insist=False)
    first.failed(Unavailable("web"))
    second.failed(Unavailable("web"))  # asked before it opened: no further opening
    with pytest.raises(NotAsked):
        second.check(insist=False)

    now_s += 0.21
    first.begin(insist=False)
    with pytest.raises(NotAsked):
        second.begin(insist=False)
    first.failed(Unavailable("web"))
    with pytest.raises(NotAsked):
        second.begin(insist=False)

    now_s += 0.41
    second.begin(insist=False)
    second.answered()
    first.begin(insist=False)
    first.answered()


def test_a_probe_that_is_given_up_leaves_the_next_to_any_worker(
    workers: tuple[Notices, Notices], monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 50.0
    monkeypatch.setattr("time.monotonic", lambda: now_s)
    first, second = (line_of(one) for one in workers)
    first.begin(insist=False)
    first.failed(Unavailable("web"))
    second.begin(insist=True)  # reads on: the probe before its time, once
    second.end()
    with pytest.raises(NotAsked):
        first.begin(insist=True)
    now_s += 0.21
    first.begin(insist=False)
    first.answered()
    second.begin(insist=False)
