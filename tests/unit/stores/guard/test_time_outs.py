"""A store that hangs anywhere: the call ends by its own limit, and says by which."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from metrics import Instruments
from upstream.errors import Unavailable
from upstream.stores import HttpStoreConfig, Stored, Witness
from upstream.stores.guard import Guarded
from upstream.stores.guard.config import GuardConfig, Silence
from upstream.stores.notices import Notices
from upstream.types import Location

HERE = Location(url="http://example.org/disk")
SOON_S = 0.05


class Hanging:
    """A store that never comes back from where it is told to hang."""

    def __init__(self, at: str, *, stubborn: bool = False) -> None:
        self.at, self.stubborn = at, stubborn
        self.left = 0

    async def reached(self, where: str) -> None:
        if where != self.at:
            return
        try:
            await asyncio.Event().wait()
        finally:
            self.left += 1
            if self.stubborn and self.left == 1:
                await asyncio.Event().wait()

    @asynccontextmanager
    async def read(
        self, location: Location, offset: int = 0, stop: int | None = None, witness: Witness | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        await self.reached("open")
        yield self._chunks()

    async def _chunks(self) -> AsyncIterator[bytes]:
        await self.reached("first_byte")
        yield b"first"
        await self.reached("idle")
        yield b"second"

    async def size(self, location: Location) -> int:
        await self.reached("size")
        return 11

    async def path(self, location: Location, size_bytes: int | None = None) -> Path:
        await self.reached("path")
        return Path("/")

    async def write(self, image_id: str, chunks: AsyncIterator[bytes], size_bytes: int | None) -> Stored:
        async for _ in chunks:
            await self.reached("taking")
        await self.reached("finishing")
        return Stored(location=HERE, size_bytes=0)

    async def delete(self, location: Location) -> None:
        await self.reached("delete")

    async def remove_leftover(self, image_id: str, kept: Collection[Location]) -> None:
        await self.reached("leftover")

    async def close(self) -> None:
        pass


async def given() -> AsyncIterator[bytes]:
    yield b"data"


async def use(store: Guarded) -> None:
    """Everything that can be asked of a store."""
    await store.path(HERE)
    async with store.read(HERE) as chunks:
        assert [chunk async for chunk in chunks] == [b"first", b"second"]
    await store.size(HERE)
    await store.write("id", given(), None)
    await store.delete(HERE)
    await store.remove_leftover("id", ())


def guarded(inner: Hanging, instruments: Instruments, key: str) -> Guarded:
    config = GuardConfig.model_validate({key: SOON_S})
    return Guarded("web", inner, instruments, config, Notices(), requests_max=1, wait_s=5)


@pytest.mark.parametrize(
    ("at", "operation", "key"),
    [
        ("open", "read", "open_s"),
        ("first_byte", "read", "first_byte_s"),
        ("idle", "read", "idle_s"),
        ("size", "size", "size_s"),
        ("path", "path", "size_s"),
        ("taking", "write", "write_idle_s"),
        ("finishing", "write", "write_idle_s"),
        ("delete", "delete", "delete_s"),
        ("leftover", "remove_leftover", "delete_s"),
    ],
)
async def test_a_store_that_hangs_is_out_of_time_and_its_slot_is_free(at: str, operation: str, key: str) -> None:
    inner, instruments = Hanging(at), Instruments()
    store = guarded(inner, instruments, key)

    async with asyncio.timeout(30):
        with pytest.raises(Unavailable, match=key):
            await use(store)

    labels = {"store": "web", "operation": operation, "phase": key.removesuffix("_idle_s").removesuffix("_s")}
    assert instruments.registry.get_sample_value("glint_store_timeouts_total", labels) == 1
    assert inner.left == 1
    inner.at = "nowhere"
    await use(store)  # there is one slot
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_store_that_hangs_when_it_is_told_to_stop_is_told_again() -> None:
    inner = Hanging("size", stubborn=True)

    async with asyncio.timeout(30):
        with pytest.raises(Unavailable, match="size_s"):
            await guarded(inner, Instruments(), "size_s").size(HERE)

    assert inner.left == 1


async def test_who_is_cancelled_while_the_store_hangs_is_cancelled() -> None:
    inner = Hanging("size")
    store = guarded(inner, Instruments(), "open_s")

    async with asyncio.TaskGroup() as group:
        asking = group.create_task(store.size(HERE))
        while not asking.cancelled():
            await asyncio.sleep(0)
            asking.cancel()

    inner.at = "nowhere"
    assert await store.size(HERE) == 11


@pytest.mark.parametrize("key", ["first_byte_s", "idle_s"])
async def test_a_reader_may_take_his_time(key: str) -> None:
    store = guarded(Hanging("nowhere"), Instruments(), key)

    async with store.read(HERE) as chunks:
        async for _ in chunks:
            await asyncio.sleep(2 * SOON_S)


async def test_what_the_clients_data_take_is_not_the_stores_time() -> None:
    async def slowly() -> AsyncIterator[bytes]:
        for _ in range(3):
            await asyncio.sleep(2 * SOON_S)
            yield b"data"

    await guarded(Hanging("nowhere"), Instruments(), "write_idle_s").write("id", slowly(), None)


async def test_many_pieces_are_each_given_their_time() -> None:
    class Slow(Hanging):
        async def _chunks(self) -> AsyncIterator[bytes]:
            for _ in range(4):
                await asyncio.sleep(8 * SOON_S)
                yield b"piece"

    store = guarded(Slow("nowhere"), Instruments(), "open_s")
    store._silence = GuardConfig(first_byte_s=30 * SOON_S, idle_s=30 * SOON_S).silence()

    async with store.read(HERE) as chunks:
        assert len([chunk async for chunk in chunks]) == 4


def test_what_the_guard_does_not_say_goes_by_the_stores_own_keys() -> None:
    slow = HttpStoreConfig(kind="http", connect_s=10, first_byte_s=200, idle_s=300)

    assert GuardConfig().silence() == Silence(open_s=60, first_byte_s=30, idle_s=30)
    assert GuardConfig().silence(slow) == Silence(open_s=420, first_byte_s=200, idle_s=300)
    assert GuardConfig(open_s=1, idle_s=2).silence(slow) == Silence(open_s=1, first_byte_s=200, idle_s=2)
