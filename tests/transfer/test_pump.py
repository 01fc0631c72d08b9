"""Threads that send: what they owe to each client, whatever the others do."""

import asyncio
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from queue import Queue
from types import SimpleNamespace
from typing import Self

import pytest

from proxy.transfer.cold import ColdPages
from proxy.transfer.errors import ClientGone, DiskSlow, FileShort
from proxy.transfer.pump import Pump
from proxy.transfer.stretch import Stretch
from tests.content import MIB, Noise
from tests.descriptors import count_open

CONTENT = Noise(24 * MIB, seed=4)  # more than the sockets of one connection hold


class Ends:
    """Connections over loopback: ours, on which nothing blocks, and the client's."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._listening = self._stack.enter_context(socket.create_server(("127.0.0.1", 0)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def connect(self) -> tuple[socket.socket, socket.socket]:
        client = self._stack.enter_context(socket.create_connection(self._listening.getsockname()))
        ours, _ = self._listening.accept()
        ours.setblocking(False)
        return self._stack.enter_context(ours), client


@pytest.fixture
def ends() -> Iterator[Ends]:
    with Ends() as ends:
        yield ends


@pytest.fixture
async def pump() -> AsyncIterator[Pump]:
    """With one thread, which everybody shares."""
    with ThreadPoolExecutor(1) as threads:
        pump = Pump(ColdPages(threads), 1)
        yield pump
        await pump.close()


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    path = tmp_path / "file"
    path.write_bytes(CONTENT.read())
    fd = os.open(path, os.O_RDWR)
    yield fd
    os.close(fd)


def stretch(ours: socket.socket, file: int, stop: int = CONTENT.size_bytes) -> Stretch:
    return Stretch(ours.fileno(), file, 0, stop, turn_max_bytes=MIB)


def received(client: socket.socket, count: int) -> bytes:
    got = bytearray()
    while len(got) < count and (piece := client.recv(MIB)):
        got += piece
    return bytes(got)


async def test_every_byte_goes_out_in_order_and_the_descriptors_are_closed(pump: Pump, ends: Ends, file: int) -> None:
    ours, client = ends.connect()
    before = count_open()
    reading = asyncio.to_thread(received, client, CONTENT.size_bytes)
    got, _ = await asyncio.gather(reading, pump.send(stretch(ours, file), idle_s=10))
    assert got == CONTENT.read()
    assert count_open() == before


async def test_a_client_that_takes_nothing_holds_nobody_else(pump: Pump, ends: Ends, file: int) -> None:
    stuck, _ = ends.connect()
    ours, client = ends.connect()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(pump.send(stretch(stuck, file), idle_s=60))
        for _ in range(3):
            reading = asyncio.to_thread(received, client, CONTENT.size_bytes)
            got, _ = await asyncio.gather(reading, pump.send(stretch(ours, file), idle_s=10))
            assert got == CONTENT.read()
        assert not waiting.done()
        waiting.cancel()


async def test_who_takes_no_byte_in_time_is_given_up(pump: Pump, ends: Ends, file: int) -> None:
    ours, _ = ends.connect()
    with pytest.raises(TimeoutError):
        await pump.send(stretch(ours, file), idle_s=0.3)


async def test_what_was_cancelled_is_closed_by_the_thread(pump: Pump, ends: Ends, file: int) -> None:
    ours, _ = ends.connect()
    before = count_open()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await pump.send(stretch(ours, file), idle_s=60)
    async with asyncio.timeout(30):
        while count_open() > before:  # noqa: ASYNC110 - a thread has no event for its tests
            await asyncio.sleep(0.01)


async def test_a_client_that_leaves_is_told_of(pump: Pump, ends: Ends, file: int) -> None:
    ours, client = ends.connect()
    async with asyncio.TaskGroup() as group:
        sending = group.create_task(_outcome(pump, stretch(ours, file)))
        await asyncio.to_thread(client.recv, 1)
        client.close()
    assert isinstance(sending.result(), ClientGone)


async def test_a_file_that_ends_too_soon_is_told_of_after_its_last_byte(pump: Pump, ends: Ends, file: int) -> None:
    ours, client = ends.connect()
    os.ftruncate(file, MIB)
    short = stretch(ours, file)
    reading = asyncio.to_thread(received, client, MIB)
    got, outcome = await asyncio.gather(reading, _outcome(pump, short))
    assert isinstance(outcome, FileShort)
    assert got == CONTENT.read(0, MIB)
    assert short.at == MIB


async def test_what_no_poller_takes_is_refused_and_the_thread_lives_on(pump: Pump, ends: Ends, file: int) -> None:
    """A file in place of the socket: the system refuses to wait for it."""
    ours, client = ends.connect()
    odd = stretch(ours, file)
    os.dup2(file, odd.socket)
    assert isinstance(await _outcome(pump, odd), PermissionError)
    reading = asyncio.to_thread(received, client, MIB)
    got, _ = await asyncio.gather(reading, pump.send(stretch(ours, file, MIB), idle_s=10))
    assert got == CONTENT.read(0, MIB)


async def test_pages_that_are_not_in_memory_are_brought_by_another_thread(pump: Pump, ends: Ends, file: int) -> None:
    forget(file)
    ours, client = ends.connect()
    reading = asyncio.to_thread(received, client, CONTENT.size_bytes)
    got, _ = await asyncio.gather(reading, pump.send(stretch(ours, file), idle_s=10))
    assert got == CONTENT.read()


async def test_a_disk_that_hangs_is_told_of_and_holds_no_descriptor_once_it_is_back(
    ends: Ends, file: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.transfer.pages.DISK_S", 0.2)
    ours, _ = ends.connect()
    healed = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        pump = Pump(ColdPages(threads), 1)
        before = count_open()
        threads.submit(healed.wait)
        try:
            forget(file)
            assert isinstance(await _outcome(pump, stretch(ours, file)), DiskSlow)
        finally:
            healed.set()
        async with asyncio.timeout(30):
            while count_open() > before:  # noqa: ASYNC110 - the thread tells nobody
                await asyncio.sleep(0.01)
        await pump.close()


async def test_a_process_that_was_held_up_does_not_take_it_for_a_slow_disk(
    ends: Ends, file: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    jumped_s = 0.0
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + jumped_s)
    monkeypatch.setattr("proxy.transfer.pump.time", clock)
    ours, client = ends.connect()
    healed = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        pump = Pump(ColdPages(threads), 1)
        threads.submit(healed.wait)
        try:
            forget(file)
            async with asyncio.TaskGroup() as group:
                sending = group.create_task(pump.send(stretch(ours, file), idle_s=60, disk_s=5))
                while not pump._threads[0]._aside:  # noqa: ASYNC110 - the thread tells nobody
                    await asyncio.sleep(0.01)
                jumped_s = 60.0
                done, _ = await asyncio.wait({sending}, timeout=1)  # some looks
                assert not done
                healed.set()
                assert await asyncio.to_thread(received, client, CONTENT.size_bytes) == CONTENT.read()
        finally:
            healed.set()
        await pump.close()


def test_who_wants_the_same_pages_waits_with_who_wants_them_already(file: int) -> None:
    told: Queue[tuple[str, Exception | None]] = Queue()
    started, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        started.set()
        go_on.wait()

    with ThreadPoolExecutor(1) as threads:
        cold = ColdPages(threads)
        threads.submit(hold)
        started.wait()
        for name, start in (("one", 0), ("two", MIB), ("other", 2 * MIB)):
            cold.bring(file, start, start + 2 * MIB, CONTENT.size_bytes, partial(_tell, told, name))
        waits = threads._work_queue.qsize()
        go_on.set()
        found = [told.get(timeout=30) for _ in range(3)]
    assert waits == 2
    assert found == [("one", None), ("two", None), ("other", None)]


def _tell(told: "Queue[tuple[str, Exception | None]]", name: str, error: Exception | None) -> None:
    told.put((name, error))


def forget(file: int) -> None:
    os.fdatasync(file)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)


async def _outcome(pump: Pump, one: Stretch) -> Exception | None:
    try:
        await pump.send(one, idle_s=10)
    except Exception as error:  # noqa: BLE001 - the test says which
        return error
    return None
