"""What every store promises to those who read."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.stores.peers import PEERS, Peer, kinds, read_whole
from tests.origin import MIB, Fixed, Noise
from upstream.errors import DataNotFound, Invalid, WrongLength
from upstream.types import Location

SIZE = 3 * MIB + 17


@pytest.fixture(params=kinds(PEERS))
async def peer(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Peer]:
    async with PEERS[request.param](request, tmp_path) as opened:
        yield opened


async def test_a_read_gives_all_bytes_in_order(peer: Peer) -> None:
    content = Noise(SIZE, seed=1)
    location = await peer.put("disk", content)

    assert await read_whole(peer.store, location) == content.read()


@pytest.mark.parametrize("offset", [1, MIB - 1, MIB, SIZE - 1])
async def test_a_read_at_an_offset_begins_there(peer: Peer, offset: int) -> None:
    content = Noise(SIZE, seed=1)
    location = await peer.put("disk", content)

    assert await read_whole(peer.store, location, offset) == content.read(offset)


async def test_a_read_at_the_end_gives_nothing(peer: Peer) -> None:
    location = await peer.put("disk", Noise(SIZE))

    assert await read_whole(peer.store, location, SIZE) == b""


async def test_a_read_beyond_the_end_is_the_wrong_length(peer: Peer) -> None:
    location = await peer.put("disk", Noise(SIZE))

    with pytest.raises(WrongLength) as caught:
        await read_whole(peer.store, location, SIZE + 1)
    assert caught.value.got_bytes == SIZE


async def test_an_empty_object_is_read_and_has_a_size(peer: Peer) -> None:
    location = await peer.put("empty", Fixed(b""))

    assert await read_whole(peer.store, location) == b""
    assert await peer.store.size(location) == 0


async def test_the_size_is_told_without_reading(peer: Peer) -> None:
    location = await peer.put("disk", Noise(SIZE))

    assert await peer.store.size(location) == SIZE


async def test_missing_data_is_not_found_on_opening(peer: Peer) -> None:
    with pytest.raises(DataNotFound):
        async with peer.store.read(peer.missing()):
            raise AssertionError("entered without data")
    with pytest.raises(DataNotFound):
        await peer.store.size(peer.missing())


@pytest.mark.parametrize("url", ["rbd://pool/image", "no scheme at all", "http://", "file://images/disk", ""])
async def test_a_location_of_another_kind_is_invalid(peer: Peer, url: str) -> None:
    with pytest.raises(Invalid):
        await read_whole(peer.store, Location(url=url))


async def test_many_read_at_once(peer: Peer) -> None:
    contents = [Noise(MIB + seed, seed=seed) for seed in range(8)]
    locations = [await peer.put(f"disk-{at}", content) for at, content in enumerate(contents)]

    async with asyncio.TaskGroup() as group:
        reads = [group.create_task(read_whole(peer.store, one)) for one in locations * 3]

    assert [read.result() for read in reads] == [content.read() for content in contents * 3]


async def test_a_reader_may_leave_in_the_middle(peer: Peer) -> None:
    content = Noise(8 * MIB)
    location = await peer.put("disk", content)

    async with peer.store.read(location) as chunks:
        first = await anext(chunks)

    assert content.read(0, len(first)) == first
    assert await read_whole(peer.store, location) == content.read()
