"""What every store that takes uploads promises: all or nothing, and never over what is there."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.stores.peers import WRITABLE, WritablePeer, arriving, kinds, read_whole
from tests.origin import MIB, Fixed, Noise
from upstream.errors import DataNotFound, Duplicate, Invalid

IMAGE_ID = "8f1f5a0e-0000-4000-8000-000000000001"


@pytest.fixture(params=kinds(WRITABLE))
async def peer(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[WritablePeer]:
    async with WRITABLE[request.param](request, tmp_path) as opened:
        yield opened


class Broken(Exception):
    """The client's side failed."""


async def broken(content: Noise, at: int) -> AsyncIterator[bytes]:
    yield content.read(0, at)
    raise Broken


async def test_what_was_written_is_read_back(peer: WritablePeer) -> None:
    content = Noise(3 * MIB + 17, seed=2)

    stored = await peer.store.write(IMAGE_ID, arriving(content), None)

    assert stored.size_bytes == content.size_bytes == await peer.store.size(stored.location)
    assert stored.location.metadata == {"store": "local"}
    assert await read_whole(peer.store, stored.location) == content.read()


async def test_many_small_chunks_are_written_in_order(peer: WritablePeer) -> None:
    content = Noise(10_007, seed=3)

    async def crumbs() -> AsyncIterator[bytes]:
        for at in range(0, content.size_bytes, 3):
            yield content.read(at, at + 3)
            yield b""

    stored = await peer.store.write(IMAGE_ID, crumbs(), None)

    assert await read_whole(peer.store, stored.location) == content.read()


async def test_a_second_write_of_an_id_changes_nothing(peer: WritablePeer) -> None:
    location = await peer.put(IMAGE_ID, Fixed(b"first"))

    with pytest.raises(Duplicate):
        await peer.store.write(IMAGE_ID, arriving(Fixed(b"second")), None)

    assert await read_whole(peer.store, location) == b"first"
    assert await peer.names() == [IMAGE_ID]


async def test_of_two_writes_at_once_one_wins(peer: WritablePeer) -> None:
    contents = [Noise(2 * MIB, seed=4), Noise(2 * MIB, seed=5)]

    results = await asyncio.gather(
        *(peer.store.write(IMAGE_ID, arriving(content), None) for content in contents), return_exceptions=True
    )

    won = [
        (result, content)
        for result, content in zip(results, contents, strict=True)
        if not isinstance(result, BaseException)
    ]
    assert [type(result) for result in results if isinstance(result, BaseException)] == [Duplicate]
    assert await read_whole(peer.store, won[0][0].location) == won[0][1].read()
    assert await peer.names() == [IMAGE_ID]


async def test_failing_data_leaves_nothing_and_its_error_passes(peer: WritablePeer) -> None:
    with pytest.raises(Broken):
        await peer.store.write(IMAGE_ID, broken(Noise(3 * MIB), 2 * MIB), 3 * MIB)

    assert await peer.names() == []


async def test_a_cancelled_write_leaves_nothing(peer: WritablePeer) -> None:
    stuck = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield Noise(12 * MIB).read()  # more than what a store keeps to itself at first
        stuck.set()
        await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        writing = group.create_task(peer.store.write(IMAGE_ID, endless(), None))
        await stuck.wait()
        async with asyncio.timeout(30):
            while not await peer.names():  # noqa: ASYNC110 - it has begun when the store says so
                await asyncio.sleep(0.01)
        writing.cancel()

    assert await peer.names() == []
    assert IMAGE_ID in (await peer.put(IMAGE_ID, Fixed(b"again"))).url


async def test_deleted_data_is_gone(peer: WritablePeer) -> None:
    location = await peer.put(IMAGE_ID, Fixed(b"data"))

    await peer.store.delete(location)

    with pytest.raises(DataNotFound):
        await peer.store.size(location)
    with pytest.raises(DataNotFound):
        await peer.store.delete(location)


async def test_a_reader_keeps_what_is_deleted_meanwhile(peer: WritablePeer) -> None:
    content = Noise(3 * MIB)
    location = await peer.put(IMAGE_ID, content)

    async with peer.store.read(location) as chunks:
        got = await anext(chunks)
        await peer.store.delete(location)
        got += b"".join([chunk async for chunk in chunks])

    assert got == content.read()


@pytest.mark.parametrize("image_id", ["", ".", "..", "../x", "a/b", ".hidden", "a\0b", "x" * 300])
async def test_an_id_that_is_no_name_is_invalid(peer: WritablePeer, image_id: str) -> None:
    with pytest.raises(Invalid):
        await peer.store.write(image_id, arriving(Fixed(b"data")), None)
    assert await peer.names() == []
