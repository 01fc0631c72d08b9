"""What every store promises to those who read an object part by part: exactly these bytes, and of one object."""

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path

import pytest

from tests.contract.stores.peers import PEERS, HttpPeer, Peer, http_peer, read_whole
from tests.origin import MIB, Content, Fault, Fixed, Noise
from tests.seeds import seed_of_this_run
from upstream.errors import Unproved, WrongLength
from upstream.stores import Witness
from upstream.types import Location

SIZE = 3 * MIB + 17
WAYS = {
    "http chunked": Fault(framing="chunked"),
    "http redirected": Fault(redirect="/moved", status=307),
    "http without ranges": Fault(ignore_range=True),
    "http without ranges, chunked": Fault(ignore_range=True, framing="chunked"),
    "http with a weak tag": Fault(etag='W/"1"'),
    "http without a tag": Fault(etag=""),
}

TELLING = [*PEERS, *(way for way, fault in WAYS.items() if fault.etag is None)]  # ... one object from another
ANNOUNCING = [*PEERS, *(way for way, fault in WAYS.items() if fault.framing != "chunked")]  # ... how large it is


class OddPeer(HttpPeer):
    """An origin that is within its rights."""

    fault = Fault()

    async def replace(self, name: str, content: Content) -> None:
        await super().replace(name, content)
        self.origin.add("moved", content)
        self.origin.always(name, self.fault)

    async def put(self, name: str, content: Content) -> Location:
        location = await super().put(name, content)
        await self.replace(name, content)
        return location


@pytest.fixture(params=[*PEERS, *WAYS])
async def peer(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Peer]:
    async with AsyncExitStack() as stack:
        if request.param in PEERS:
            yield await stack.enter_async_context(PEERS[request.param](request, tmp_path))
        else:
            plain = await stack.enter_async_context(http_peer(request, tmp_path))
            odd = OddPeer(plain.store, plain.origin)
            odd.fault = WAYS[request.param]
            yield odd


async def test_a_part_is_given_from_its_first_byte_to_its_last(peer: Peer) -> None:
    content = Noise(SIZE, seed=2)
    location = await peer.put("disk", content)

    for offset, stop in [(0, 1), (0, MIB), (1, MIB + 1), (MIB - 1, SIZE - 1), (SIZE - 1, SIZE), (0, SIZE)]:
        assert await read_whole(peer.store, location, offset, stop) == content.read(offset, stop), (offset, stop)


async def test_a_part_of_no_bytes_is_empty(peer: Peer) -> None:
    location = await peer.put("disk", Noise(SIZE))

    for place in (0, 5, SIZE):
        assert await read_whole(peer.store, location, place, place) == b""


async def test_a_part_that_ends_beyond_the_object_is_the_wrong_length(peer: Peer) -> None:
    location = await peer.put("disk", Noise(SIZE))

    for offset in (0, SIZE - 1, SIZE):
        with pytest.raises(WrongLength):
            await read_whole(peer.store, location, offset, SIZE + 1)


async def test_nothing_of_an_empty_object_is_nothing(peer: Peer) -> None:
    location = await peer.put("empty", Fixed(b""))

    assert await read_whole(peer.store, location, 0, 0) == b""


async def test_parts_of_any_size_make_the_whole(peer: Peer) -> None:
    content, choose = Noise(SIZE, seed=3), random.Random(seed_of_this_run())
    location = await peer.put("disk", content)
    cuts = sorted({0, SIZE, *(choose.randrange(SIZE) for _ in range(7))})
    witness = Witness(size_bytes=SIZE)

    parts = [await read_whole(peer.store, location, cut, stop, witness) for cut, stop in pairwise(cuts)]

    assert b"".join(parts) == content.read()


async def test_a_reader_goes_on_where_it_stopped(peer: Peer) -> None:
    content = Noise(8 * MIB, seed=4)
    location = await peer.put("disk", content)
    witness, got = Witness(size_bytes=content.size_bytes), bytearray()

    while len(got) < content.size_bytes:
        async with peer.store.read(location, len(got), None, witness) as chunks:
            for _ in range(3):
                got += await anext(chunks, b"")

    assert got == content.read()


@pytest.mark.parametrize("peer", TELLING, indirect=True)
async def test_a_part_of_something_else_is_refused(peer: Peer) -> None:
    location, witness = await peer.put("disk", Noise(SIZE, seed=1)), Witness()
    await read_whole(peer.store, location, 0, 10, witness)
    await peer.replace("disk", Noise(SIZE, seed=2))

    for stop in (None, MIB):
        with pytest.raises(Unproved):
            async with peer.store.read(location, 10, stop, witness):
                raise AssertionError("entered")


async def test_an_object_that_was_replaced_is_read_from_its_beginning(peer: Peer) -> None:
    location, witness = await peer.put("disk", Noise(SIZE, seed=1)), Witness()
    await read_whole(peer.store, location, 0, None, witness)
    await peer.replace("disk", Noise(SIZE + 5, seed=2))

    assert await read_whole(peer.store, location, 0, None, witness) == Noise(SIZE + 5, seed=2).read()
    assert await read_whole(peer.store, location, 10, None, witness) == Noise(SIZE + 5, seed=2).read(10)


@pytest.mark.parametrize("peer", ANNOUNCING, indirect=True)
async def test_an_object_of_another_size_is_refused_before_its_first_byte(peer: Peer) -> None:
    location = await peer.put("disk", Noise(SIZE))

    for part in [(0, None), (10, None), (0, 10), (10, 20)]:
        with pytest.raises(WrongLength) as caught:
            async with peer.store.read(location, *part, Witness(size_bytes=SIZE + 1)):
                raise AssertionError("entered")
        assert (caught.value.expected_bytes, caught.value.got_bytes) == (SIZE + 1, SIZE)
