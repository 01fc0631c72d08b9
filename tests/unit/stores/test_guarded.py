"""The guard around every store: limit, metrics, and no error that is not ours."""

import asyncio
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from metrics import Instruments
from upstream.errors import DataNotFound, LimitExceeded, NotSupported, StoreFull, Unavailable
from upstream.stores import Stored, Witness
from upstream.stores.guard import Guarded
from upstream.stores.guard.config import GuardConfig
from upstream.stores.notices import Notices
from upstream.types import Location

HERE = Location(url="http://example.org/disk")


class Scripted:
    """A store that fails as told; the peer that makes an unexpected fault happen."""

    def __init__(self, error: Exception | None = None, fails_after: int = 0) -> None:
        self.error, self.fails_after = error, fails_after

    @asynccontextmanager
    async def read(
        self, location: Location, offset: int = 0, stop: int | None = None, witness: Witness | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        if self.error and not self.fails_after:
            raise self.error
        yield self._chunks()

    async def _chunks(self) -> AsyncIterator[bytes]:
        for _ in range(self.fails_after or 2):
            yield b"chunk"
        if self.error:
            raise self.error

    async def size(self, location: Location) -> int:
        if self.error:
            raise self.error
        return 10

    async def write(self, image_id: str, chunks: AsyncIterator[bytes], size_bytes: int | None) -> Stored:
        async for _ in chunks:
            if self.error:
                raise self.error
        return Stored(location=HERE, size_bytes=0)

    async def delete(self, location: Location) -> None:
        if self.error:
            raise self.error

    async def remove_leftover(self, image_id: str, kept: Collection[Location]) -> None:
        await self.delete(HERE)

    async def close(self) -> None:
        pass


class ReadOnly:
    """The least a store can be."""

    read = Scripted.read
    size = Scripted.size
    close = Scripted.close
    _chunks = Scripted._chunks
    error, fails_after = None, 0


@pytest.fixture
def instruments() -> Instruments:
    return Instruments()


def guarded(inner: Scripted, instruments: Instruments, requests_max: int = 4, wait_s: float = 30) -> Guarded:
    return Guarded("web", inner, instruments, GuardConfig(), Notices(), requests_max=requests_max, wait_s=wait_s)


def results(instruments: Instruments, operation: str, result: str = "ok") -> float | None:
    labels = {"store": "web", "operation": operation, "result": result}
    return instruments.registry.get_sample_value("glint_store_requests_total", labels)


def timed(instruments: Instruments, operation: str, phase: str) -> float | None:
    labels = {"store": "web", "operation": operation, "phase": phase}
    return instruments.registry.get_sample_value("glint_store_seconds_count", labels)


async def given(error: Exception | None = None) -> AsyncIterator[bytes]:
    yield b"data"
    if error:
        raise error


async def read_whole(store: Guarded) -> bytes:
    async with store.read(HERE) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def test_a_read_is_counted_and_timed_until_its_first_byte(instruments: Instruments) -> None:
    store = guarded(Scripted(), instruments)

    assert await read_whole(store) == b"chunkchunk"

    assert results(instruments, "read") == 1
    assert [timed(instruments, "read", phase) for phase in ("wait", "first_byte", "whole")] == [1, 1, 1]
    moved = instruments.registry.get_sample_value("glint_store_bytes_total", {"store": "web", "operation": "read"})
    assert moved == len(b"chunkchunk")


async def test_operations_are_timed(instruments: Instruments) -> None:
    store = guarded(Scripted(), instruments)

    await store.size(HERE)
    await store.write("id", given(), None)
    await store.delete(HERE)

    assert [timed(instruments, operation, "whole") for operation in ("size", "write", "delete")] == [1, 1, 1]


async def test_a_stores_own_error_passes_and_is_counted(instruments: Instruments) -> None:
    store = guarded(Scripted(DataNotFound("web")), instruments)

    with pytest.raises(DataNotFound):
        await read_whole(store)
    with pytest.raises(DataNotFound):
        await store.size(HERE)

    assert results(instruments, "read", "DataNotFound") == results(instruments, "size", "DataNotFound") == 1


@pytest.mark.parametrize("fails_after", [0, 1])
async def test_an_error_nobody_expected_becomes_unavailable(instruments: Instruments, fails_after: int) -> None:
    store = guarded(Scripted(KeyError("secret"), fails_after), instruments)

    with pytest.raises(Unavailable, match="KeyError") as caught:
        await read_whole(store)

    assert "secret" not in str(caught.value)
    assert results(instruments, "read", "KeyError") == 1


@pytest.mark.parametrize("error", [KeyError("ours"), LimitExceeded("quota")])
async def test_what_the_callers_data_raises_is_not_the_stores_error(instruments: Instruments, error: Exception) -> None:
    store = guarded(Scripted(), instruments)

    with pytest.raises(type(error)) as caught:
        await store.write("id", given(error), None)

    assert caught.value is error
    assert results(instruments, "write", type(error).__name__) is None


async def test_what_a_store_raises_while_writing_is_its_error(instruments: Instruments) -> None:
    with pytest.raises(StoreFull):
        await guarded(Scripted(StoreFull("full")), instruments).write("id", given(), None)

    assert results(instruments, "write", "StoreFull") == 1


async def test_what_the_reader_raises_passes_untouched(instruments: Instruments) -> None:
    with pytest.raises(KeyError):
        async with guarded(Scripted(), instruments).read(HERE):
            raise KeyError("the reader's own")

    assert results(instruments, "read", "KeyError") is None


async def test_requests_beyond_the_limit_wait_their_turn_and_then_give_up(instruments: Instruments) -> None:
    store = guarded(Scripted(), instruments, requests_max=1, wait_s=0.05)

    async with store.read(HERE):
        with pytest.raises(Unavailable, match="too many"):
            await store.size(HERE)

    assert await store.size(HERE) == 10
    assert results(instruments, "size", "Unavailable") == 1


async def test_a_cancelled_waiter_and_a_failed_read_give_their_slots_back(instruments: Instruments) -> None:
    inner = Scripted(DataNotFound("web"))
    store = guarded(inner, instruments, requests_max=1)
    with pytest.raises(DataNotFound):
        await read_whole(store)
    inner.error = None

    async with asyncio.TaskGroup() as group, store.read(HERE):
        waiter = group.create_task(store.size(HERE))
        await asyncio.sleep(0)
        waiter.cancel()

    assert await store.size(HERE) == 10


async def test_what_a_store_cannot_do_is_not_supported(instruments: Instruments) -> None:
    store = Guarded("web", ReadOnly(), instruments, GuardConfig(), Notices(), requests_max=1, wait_s=1)

    assert not store.has_path
    for refused in (store.write("id", given(), None), store.delete(HERE), _path(store)):
        with pytest.raises(NotSupported):
            await refused


async def _path(store: Guarded) -> Path:
    return await store.path(HERE)


async def test_uploads_keep_to_the_bandwidth_for_writing(instruments: Instruments) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield bytes(1000)

    config = GuardConfig.model_validate({"write_rate_max": 4000})
    store = Guarded("web", Scripted(), instruments, config, Notices(), requests_max=1, wait_s=1)
    began_s = time.monotonic()

    await store.write("id", pieces(), None)

    labels = {"store": "web", "operation": "write"}
    limited_s = instruments.registry.get_sample_value("glint_store_limited_seconds_total", labels)
    assert instruments.registry.get_sample_value("glint_store_bytes_total", labels) == 3000
    assert limited_s is not None
    assert 0 < limited_s <= time.monotonic() - began_s
