"""An origin that misbehaves: each fault has one error, and none ends in a clean end of wrong bytes."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.stores.peers import HttpPeer, http_peer, read_whole
from tests.origin import MIB, Fault, Gate, Noise
from upstream.errors import DataNotFound, Denied, Invalid, NotSupported, Unavailable, UpstreamError, WrongLength
from upstream.stores import Witness
from upstream.types import Location

DISK = Noise(2 * MIB + 5, seed=7)


@pytest.fixture
async def peer(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[HttpPeer]:
    fault = request.node.callspec.params.get("fault") if hasattr(request.node, "callspec") else None
    async with http_peer(request, tmp_path, 30 if fault is None or fault.gate is None else 1.5) as opened:
        opened.origin.add("disk", DISK)
        yield opened


def _disk(peer: HttpPeer) -> Location:
    return Location(url=peer.origin.url("disk"))


async def _drain(chunks: AsyncIterator[bytes], into: bytearray) -> None:
    async for chunk in chunks:
        into += chunk


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(refuse=True), Unavailable),
        (Fault(gate=Gate()), Unavailable),
        (Fault(status=500), Unavailable),
        (Fault(status=429), Unavailable),
        (Fault(status=404), DataNotFound),
        (Fault(status=410), DataNotFound),
        (Fault(status=401), Denied),
        (Fault(status=403), Denied),
        (Fault(status=400), Invalid),
        (Fault(status=204), Invalid),
        (Fault(status=304), Invalid),
        (Fault(status=206), Invalid),
        (Fault(gzip=True), Invalid),
        (Fault(framing="close"), Invalid),
        (Fault(redirect="ftp://127.0.0.1/disk"), Invalid),
        (Fault(redirect="file:///etc/passwd"), Invalid),
        (Fault(redirect=""), Invalid),
        (Fault(headers={"Content-Length": "many"}), Unavailable),
    ],
    ids=repr,
)
async def test_an_answer_that_is_no_image_is_refused_on_opening(
    peer: HttpPeer, fault: Fault, error: type[UpstreamError]
) -> None:
    peer.origin.always("disk", fault)

    with pytest.raises(error):
        async with peer.store.read(_disk(peer)):
            raise AssertionError("entered")


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(cut_at=0), WrongLength),
        (Fault(cut_at=MIB), WrongLength),
        (Fault(cut_at=DISK.size_bytes - 1), WrongLength),
        (Fault(cut_at=MIB, reset=True), Unavailable | WrongLength),
        (Fault(cut_at=MIB, framing="chunked"), Unavailable),
        (Fault(length_off=5), WrongLength),
        (Fault(gate=Gate(at=0)), Unavailable),
        (Fault(gate=Gate(at=MIB)), Unavailable),
    ],
    ids=repr,
)
async def test_a_body_that_ends_early_never_ends_cleanly(
    peer: HttpPeer, fault: Fault, error: type[UpstreamError]
) -> None:
    peer.origin.script("disk", fault)
    got = bytearray()

    async with peer.store.read(_disk(peer)) as chunks:
        with pytest.raises(UpstreamError) as caught:
            await _drain(chunks, got)

    assert isinstance(caught.value, error)
    assert got == DISK.read(0, len(got))
    assert await read_whole(peer.store, _disk(peer)) == DISK.read()  # the next ask works when the origin does


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(headers={"Content-Range": f"bytes 9-{DISK.size_bytes - 1}/{DISK.size_bytes}"}), Unavailable),
        (Fault(headers={"Content-Range": f"bytes 10-{DISK.size_bytes}/{DISK.size_bytes + 1}"}), Unavailable),
        (Fault(headers={"Content-Range": f"bytes 10-99/{DISK.size_bytes}"}), Unavailable),
        (Fault(headers={"Content-Range": f"bytes 10-{DISK.size_bytes - 1}/*"}), Unavailable),
        (Fault(headers={"Content-Range": "nonsense"}), Unavailable),
        (Fault(length_off=-3), Unavailable),
        (Fault(etag='"another"'), Unavailable),
        (Fault(etag='"another"', ignore_range=True), Unavailable),
        (Fault(gzip=True), Invalid),
        (Fault(status=416), Unavailable),
    ],
    ids=repr,
)
async def test_a_part_without_proof_is_refused(peer: HttpPeer, fault: Fault, error: type[UpstreamError]) -> None:
    witness = Witness()
    await read_whole(peer.store, _disk(peer), witness=witness)
    peer.origin.script("disk", fault)

    with pytest.raises(error):
        async with peer.store.read(_disk(peer), 10, None, witness):
            raise AssertionError("entered")


@pytest.mark.parametrize("offset", [1, MIB, DISK.size_bytes])
async def test_where_range_is_ignored_the_beginning_is_dropped(peer: HttpPeer, offset: int) -> None:
    peer.origin.always("disk", Fault(ignore_range=True))

    assert await read_whole(peer.store, _disk(peer), offset) == DISK.read(offset)


async def test_where_range_is_ignored_a_far_offset_is_refused(peer: HttpPeer) -> None:
    peer.origin.add("large", Noise(65 * MIB))
    peer.origin.always("large", Fault(ignore_range=True))

    with pytest.raises(NotSupported):
        await read_whole(peer.store, Location(url=peer.origin.url("large")), 64 * MIB + 1)


async def test_a_chunked_body_is_read_to_its_last_chunk(peer: HttpPeer) -> None:
    peer.origin.always("disk", Fault(framing="chunked"))

    assert await read_whole(peer.store, _disk(peer)) == DISK.read()
    assert await read_whole(peer.store, _disk(peer), MIB) == DISK.read(MIB)


async def test_a_body_longer_than_announced_is_read_as_announced(peer: HttpPeer) -> None:
    peer.origin.always("disk", Fault(length_off=-5))

    assert await read_whole(peer.store, _disk(peer)) == DISK.read(0, DISK.size_bytes - 5)


async def test_a_busy_origin_says_when_to_come_back(peer: HttpPeer) -> None:
    peer.origin.always("disk", Fault(status=503, headers={"Retry-After": "7"}))

    with pytest.raises(Unavailable) as caught:
        await read_whole(peer.store, _disk(peer))
    assert caught.value.retry_after_s == 7


async def test_a_port_without_a_server_is_unavailable(peer: HttpPeer) -> None:
    with pytest.raises(Unavailable):
        await read_whole(peer.store, Location(url=peer.origin.refused_url))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_followed(peer: HttpPeer, status: int) -> None:
    peer.origin.script("disk", *(Fault(redirect="/disk", status=status) for _ in range(5)))

    assert await read_whole(peer.store, _disk(peer), 3) == DISK.read(3)
    assert peer.origin.counts("disk").gets == 6


async def test_the_sixth_redirect_is_one_too_many(peer: HttpPeer) -> None:
    peer.origin.always("disk", Fault(redirect=peer.origin.url("disk")))

    with pytest.raises(Invalid, match="more than 5 times"):
        await read_whole(peer.store, _disk(peer))
    assert peer.origin.counts("disk").gets == 6


@pytest.mark.parametrize("status", [403, 405, 501])
async def test_where_head_is_refused_the_size_comes_from_the_first_byte(peer: HttpPeer, status: int) -> None:
    peer.origin.always("disk", Fault(method="HEAD", status=status))

    assert await peer.store.size(_disk(peer)) == DISK.size_bytes
    assert peer.origin.counts("disk").ranges == ["bytes=0-0"]


async def test_where_head_and_range_fail_the_size_is_the_announced_length(peer: HttpPeer) -> None:
    peer.origin.script("disk", Fault(method="HEAD", framing="chunked"), Fault(ignore_range=True))

    assert await peer.store.size(_disk(peer)) == DISK.size_bytes


async def test_an_unknown_size_is_invalid(peer: HttpPeer) -> None:
    peer.origin.script("disk", Fault(method="HEAD", framing="chunked"), Fault(ignore_range=True, framing="chunked"))

    with pytest.raises(Invalid):
        await peer.store.size(_disk(peer))


async def test_a_reader_who_leaves_ends_the_origins_answer(peer: HttpPeer) -> None:
    gate = Gate(at=MIB)
    peer.origin.script("disk", Fault(gate=gate))

    async with peer.store.read(_disk(peer)) as chunks:
        await anext(chunks)
        await gate.reached()

    await peer.origin.until("disk", lambda counts: counts.aborted == 1)
