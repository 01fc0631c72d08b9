"""How an http origin is asked for parts, what its answers must prove, and what a broken connection costs."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.stores.peers import HttpPeer, http_peer, read_whole
from tests.origin import KIB, MIB, Fault, Noise
from tests.seeds import seed_of_this_run
from upstream.errors import DataNotFound, NotSupported, Unavailable, Unproved, UpstreamError, WrongLength
from upstream.stores import Witness
from upstream.types import Location

DISK = Noise(2 * MIB + 5, seed=7)
SIZE = DISK.size_bytes
MONDAY, A_SECOND_LATER = "Mon, 05 Jan 2026 10:00:00 GMT", "Mon, 05 Jan 2026 10:00:01 GMT"


@pytest.fixture
async def peer(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[HttpPeer]:
    async with http_peer(request, tmp_path) as opened:
        opened.origin.add("disk", DISK)
        yield opened


def _disk(peer: HttpPeer) -> Location:
    return Location(url=peer.origin.url("disk"))


async def _drain(chunks: AsyncIterator[bytes], into: bytearray) -> None:
    async for chunk in chunks:
        into += chunk


@pytest.mark.parametrize(
    ("offset", "stop", "asked", "sent_bytes"),
    [
        (0, None, None, SIZE),
        (5, None, "bytes=5-", SIZE - 5),
        (5, 10, "bytes=5-9", 5),
        (0, 10, "bytes=0-9", 10),
        (7, 7, "bytes=7-7", 1),
    ],
)
async def test_no_more_than_the_part_is_asked_for(
    peer: HttpPeer, offset: int, stop: int | None, asked: str | None, sent_bytes: int
) -> None:
    await read_whole(peer.store, _disk(peer), offset, stop)

    await peer.origin.until("disk", lambda counts: counts.at_once == 0)
    assert peer.origin.counts("disk").ranges == [asked]
    assert peer.origin.counts("disk").sent_bytes == sent_bytes


@pytest.mark.parametrize(
    ("first", "condition"),
    [
        (Fault(), DISK.etag),
        (Fault(framing="chunked"), DISK.etag),
        (Fault(modified=MONDAY), DISK.etag),
        (Fault(etag='W/"1"'), None),
        (Fault(etag='W/"1"', modified=MONDAY), None),
        (Fault(etag=""), None),
        (Fault(etag="", modified=MONDAY, headers={"Date": A_SECOND_LATER}), MONDAY),
        (Fault(etag="", modified=MONDAY, headers={"Date": MONDAY}), None),
        (Fault(etag="", modified=MONDAY, headers={"Date": "some day"}), None),
        (Fault(etag="", modified=MONDAY, headers={"Date": "Mon, 05 Jan 2026 10:00:01"}), None),
        (Fault(etag="", modified=MONDAY), None),
    ],
    ids=repr,
)
async def test_a_later_part_is_asked_for_on_condition_if_the_first_had_a_strong_validator(
    peer: HttpPeer, first: Fault, condition: str | None
) -> None:
    peer.origin.always("disk", first)
    witness = Witness()

    parts = [await read_whole(peer.store, _disk(peer), at, to, witness) for at, to in ((0, 9), (9, 20), (20, None))]

    assert b"".join(parts) == DISK.read()
    asked = [request.headers.get("if-range") for request in peer.origin.counts("disk").requests]
    assert asked == [None, condition, condition]


@pytest.mark.parametrize(
    ("first", "later"),
    [
        (Fault(), Fault(etag='"2"')),  # answered with 200 and everything
        (Fault(), Fault(etag='"2"', ignore_range=True)),
        (Fault(), Fault(etag='"2"', ignore_if_range=True)),
        (Fault(), Fault(etag="", ignore_if_range=True)),
        (Fault(), Fault(etag="")),
        (Fault(), Fault(etag=f"W/{DISK.etag}", ignore_if_range=True)),
        (Fault(etag='W/"1"'), Fault(etag='W/"2"')),
        (Fault(etag='W/"1"'), Fault(etag='"2"')),
        (Fault(etag='W/"1"', modified=MONDAY), Fault(etag='W/"1"', modified=A_SECOND_LATER)),
        (Fault(etag="", modified=MONDAY), Fault(etag="", modified=A_SECOND_LATER)),
        (
            Fault(etag="", modified=MONDAY, headers={"Date": A_SECOND_LATER}),
            Fault(etag="", modified=A_SECOND_LATER),
        ),
    ],
    ids=repr,
)
async def test_a_part_with_another_validator_is_refused(peer: HttpPeer, first: Fault, later: Fault) -> None:
    witness = Witness()
    peer.origin.script("disk", first, later, later)
    await read_whole(peer.store, _disk(peer), 0, 10, witness)

    for stop in (None, MIB):
        with pytest.raises(Unproved):
            async with peer.store.read(_disk(peer), 10, stop, witness):
                raise AssertionError("entered")
    assert await read_whole(peer.store, _disk(peer), 10) == DISK.read(10)  # who begins here is not harmed


@pytest.mark.parametrize(
    "later",
    [
        Fault(modified=MONDAY),  # the tag says enough
        Fault(ignore_range=True),
        Fault(ignore_range=True, framing="chunked"),
        Fault(ignore_if_range=True),
        Fault(framing="chunked"),
    ],
    ids=repr,
)
async def test_a_part_with_the_same_tag_is_taken(peer: HttpPeer, later: Fault) -> None:
    witness = Witness(size_bytes=SIZE)
    peer.origin.script("disk", Fault(modified=A_SECOND_LATER), later, later)

    parts = [await read_whole(peer.store, _disk(peer), at, to, witness) for at, to in ((0, 9), (9, 20), (20, None))]

    assert b"".join(parts) == DISK.read()


@pytest.mark.parametrize(
    "fault",
    [
        Fault(headers={"Content-Range": f"bytes 10-99/{SIZE}"}),
        Fault(headers={"Content-Range": f"bytes 10-20/{SIZE}"}),
        Fault(headers={"Content-Range": f"bytes 10-18/{SIZE}"}),
        Fault(headers={"Content-Range": f"bytes 9-19/{SIZE}"}),
        Fault(headers={"Content-Range": "bytes 10-19/*"}),
        Fault(headers={"Content-Range": f"bytes */{SIZE}"}),
        Fault(headers={"Content-Range": ""}),
        Fault(headers={"Content-Range": f"bytes 10-{SIZE - 1}/{SIZE}"}, ignore_range=True, status=206),
        Fault(length_off=3),
        Fault(status=416),
        Fault(status=416, headers={"Content-Range": f"bytes */{SIZE}"}),
    ],
    ids=repr,
)
async def test_another_part_than_asked_for_is_refused(peer: HttpPeer, fault: Fault) -> None:
    peer.origin.script("disk", fault)

    with pytest.raises(Unproved):
        async with peer.store.read(_disk(peer), 10, 20):
            raise AssertionError("entered")


async def test_a_part_longer_than_it_says_is_not_taken_for_whole(peer: HttpPeer) -> None:
    told = {"Content-Range": f"bytes 0-9/{SIZE}"}
    peer.origin.script("disk", Fault(ignore_range=True, framing="chunked", headers=told, status=206))

    with pytest.raises(WrongLength):
        await read_whole(peer.store, _disk(peer), 0, 10)


async def test_where_range_is_ignored_nothing_beyond_the_part_is_waited_for(peer: HttpPeer) -> None:
    peer.origin.add("large", Noise(64 * MIB))
    peer.origin.always("large", Fault(ignore_range=True))

    got = await read_whole(peer.store, Location(url=peer.origin.url("large")), 10, 20)

    assert got == Noise(64 * MIB).read(10, 20)
    await peer.origin.until("large", lambda counts: counts.aborted == 1)
    assert peer.origin.counts("large").sent_bytes < 32 * MIB


async def test_where_range_is_ignored_a_far_part_is_refused(peer: HttpPeer) -> None:
    peer.origin.add("large", Noise(65 * MIB))
    peer.origin.always("large", Fault(ignore_range=True))

    with pytest.raises(NotSupported):
        await read_whole(peer.store, Location(url=peer.origin.url("large")), 64 * MIB + 1, 64 * MIB + 2)


async def test_a_connection_serves_one_part_after_another(peer: HttpPeer) -> None:
    for offset in range(0, 50, 10):
        await read_whole(peer.store, _disk(peer), offset, offset + 10)

    assert peer.origin.connections == 1


async def test_missing_data_is_not_found_for_any_part(peer: HttpPeer) -> None:
    with pytest.raises(DataNotFound):
        await read_whole(peer.store, peer.missing(), 10, 20, Witness(size_bytes=SIZE))


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(cut_at=1), WrongLength),
        (Fault(cut_at=300 * KIB), WrongLength),
        (Fault(cut_at=1, framing="chunked"), Unavailable),
        (Fault(cut_at=300 * KIB, framing="chunked"), Unavailable),
    ],
    ids=repr,
)
async def test_what_came_before_the_connection_broke_is_not_lost(
    peer: HttpPeer, fault: Fault, error: type[UpstreamError]
) -> None:
    """Also for a reader who comes when the connection has long ended."""
    peer.origin.script("disk", fault)
    got = bytearray()

    async with peer.store.read(_disk(peer)) as chunks:
        await peer.origin.until("disk", lambda counts: counts.at_once == 0)
        await asyncio.sleep(0.05)  # the end is on its way: nothing tells that it has arrived
        with pytest.raises(error):
            await _drain(chunks, got)

    assert got == DISK.read(0, fault.cut_at)


async def test_a_slow_reader_of_an_origin_that_breaks_off_often_asks_for_no_byte_twice(peer: HttpPeer) -> None:
    choose, content = random.Random(seed_of_this_run()), Noise(16 * MIB, seed=8)
    peer.origin.add("large", content)
    cuts = [choose.randrange(3 * MIB) for _ in range(8)]
    peer.origin.script("large", *(Fault(cut_at=cut) for cut in cuts))
    location, witness, got = Location(url=peer.origin.url("large")), Witness(size_bytes=content.size_bytes), bytearray()

    while len(got) < content.size_bytes:
        try:
            async with peer.store.read(location, len(got), None, witness) as chunks:
                async for chunk in chunks:
                    got += chunk
                    await asyncio.sleep(0.002)
        except (Unavailable, WrongLength):
            continue

    assert got == content.read()
    assert peer.origin.counts("large").sent_bytes == content.size_bytes
