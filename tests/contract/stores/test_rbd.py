"""What images in a real Ceph promise beyond the contract: to nova, to Glance, and when the cluster is not there."""

import asyncio
import errno
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.api.client import OCTETS, Client
from tests.contract.stores.peers.peer import arriving, read_whole
from tests.contract.stores.peers.rbd import RbdPeer, opened
from tests.origin import MIB, Content, Fixed, Noise
from tests.peers import Ceph
from tests.served import config_for, serving
from upstream.errors import Conflict, DataNotFound, Denied, Invalid, Unavailable
from upstream.stores.rbd.store import open_store
from upstream.types import Location

IMAGE_ID = "8f1f5a0e-0000-4000-8000-00000000ceb0"
CHUNK = MIB
WAIT_S = 60.0

T = TypeVar("T")


@pytest.fixture
async def peer(ceph: Ceph) -> AsyncIterator[RbdPeer]:
    async with opened(ceph, chunk_size=CHUNK) as one:
        yield one


def pieces(*contents: bytes) -> AsyncIterator[bytes]:
    async def each() -> AsyncIterator[bytes]:
        for content in contents:
            yield content

    return each()


async def info(peer: RbdPeer, name: str = IMAGE_ID) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(await peer.rbd("info", f"images/{name}", "--format=json"))
    return told


async def snapshots(peer: RbdPeer, name: str = IMAGE_ID) -> list[tuple[str, str]]:
    """Name, and whether it is protected."""
    told = json.loads(await peer.rbd("snap", "ls", f"images/{name}", "--format=json"))
    return [(one["name"], one["protected"]) for one in told]


async def objects(peer: RbdPeer) -> int:
    """Of data, of all images."""
    return sum(name.startswith("rbd_data.") for name in await asyncio.to_thread(peer.ceph.objects))


async def clone(peer: RbdPeer, *options: str) -> None:
    await peer.rbd("clone", *options, f"images/{IMAGE_ID}@snap", "images/disk-of-a-server")


async def eventually(call: Callable[[], Awaitable[T]]) -> T:
    """What it comes to when the cluster answers again, which takes a moment."""
    async with asyncio.timeout(WAIT_S):
        while True:
            with suppress(Unavailable):
                return await call()


async def broken_off(chunks: AsyncIterator[bytes]) -> bytes:
    """What comes before a read fails, as it must."""
    got = b""
    try:
        async for chunk in chunks:
            got += chunk
    except (Unavailable, DataNotFound):
        return got
    raise AssertionError("the read came to its end")


@contextmanager
def open_elsewhere(peer: RbdPeer, name: str = IMAGE_ID) -> Iterator[None]:
    """As by a hypervisor that has the image itself for a disk."""
    cluster = peer.store._cluster
    pool = cluster.pool()
    try:
        with cluster.rbd.Image(pool.ioctx, name):
            yield
    finally:
        pool.close()


async def test_an_image_has_the_form_that_nova_clones_from(peer: RbdPeer) -> None:
    stored = await peer.store.write(IMAGE_ID, arriving(Noise(3 * CHUNK + 17, seed=1)), None)

    assert stored.location.url == f"rbd://{peer.ceph.fsid}/images/{IMAGE_ID}/snap"
    assert await snapshots(peer) == [("snap", "true")]
    told = await info(peer)
    assert (told["size"], told["object_size"], told["format"]) == (3 * CHUNK + 17, CHUNK, 2)
    assert "layering" in told["features"]
    await clone(peer)
    assert (await info(peer, "disk-of-a-server"))["parent"]["image"] == IMAGE_ID
    await peer.rbd("rm", "images/disk-of-a-server")


@pytest.mark.parametrize("size", [0, 5 * CHUNK + 1])
@pytest.mark.parametrize("hint", ["none", "right", "small", "large"])
async def test_an_image_is_as_large_as_its_data_whatever_was_said(peer: RbdPeer, size: int, hint: str) -> None:
    content = Noise(size, seed=2)
    said = {"none": None, "right": size, "small": size // 2, "large": size + 3 * CHUNK}[hint]

    stored = await peer.store.write(IMAGE_ID, arriving(content), said)

    assert stored.size_bytes == size == await peer.store.size(stored.location)
    assert await read_whole(peer.store, stored.location) == content.read()


@pytest.mark.parametrize("keeps_holes", [True, False])
async def test_zeros_take_room_only_where_the_store_is_told_to_write_them(ceph: Ceph, keeps_holes: bool) -> None:
    data = Noise(CHUNK, seed=3).read()
    async with opened(ceph, chunk_size=CHUNK, thin_provisioning=keeps_holes) as peer:
        stored = await peer.store.write(IMAGE_ID, pieces(data, bytes(6 * CHUNK), data, bytes(10)), None)

        assert await objects(peer) == (2 if keeps_holes else 9)
        assert await read_whole(peer.store, stored.location) == data + bytes(6 * CHUNK) + data + bytes(10)


async def test_both_forms_of_a_location_are_read_and_another_cluster_is_not_ours(peer: RbdPeer) -> None:
    location = await peer.put(IMAGE_ID, Fixed(b"data"))

    assert await read_whole(peer.store, Location(url=f"rbd://{IMAGE_ID}")) == b"data"
    elsewhere = Location(url=location.url.replace(peer.ceph.fsid, "0b3b7ee0-0000-4000-8000-000000000000"))
    for call in (peer.store.size, peer.store.delete):
        with pytest.raises(Invalid, match=f"0b3b7ee0.* and local is {peer.ceph.fsid}"):
            await call(elsewhere)
    with pytest.raises(Invalid, match="no pool nowhere"):
        await peer.store.size(Location(url=location.url.replace("/images/", "/nowhere/")))
    with pytest.raises(DataNotFound):
        await peer.store.size(Location(url=location.url.replace("/snap", "/other")))


async def test_an_image_with_clones_stays_whole_when_it_is_to_be_deleted(peer: RbdPeer) -> None:
    content = Noise(2 * CHUNK, seed=4)
    location = await peer.put(IMAGE_ID, content)
    await clone(peer)

    with pytest.raises(Conflict):
        await peer.store.delete(location)

    assert await snapshots(peer) == [("snap", "true")]
    assert await read_whole(peer.store, location) == content.read()
    await peer.rbd("rm", "images/disk-of-a-server")
    await peer.store.delete(location)
    assert await peer.names() == []


async def test_an_image_whose_clone_a_server_has_for_a_disk_is_not_deleted_from_any_store(
    peer: RbdPeer, tmp_path: Path
) -> None:
    """A whole Glint; the image lies in a file too. As Glance: 409, and it is active with all its data."""
    ceph = {"kind": "rbd", "ceph_conf": peer.ceph.config, "user": peer.ceph.user, "weight": -1}
    data = Noise(2 * CHUNK, seed=9).read()
    async with serving(config_for(tmp_path, {"stores": {"backends": {"ceph": ceph}}})) as served:
        client = Client(served)
        path = await client.upload(data)
        asked = {"method": {"name": "copy-image"}, "stores": ["ceph"]}
        assert (await client.ask("POST", f"{path}/import", json=asked)).status == 202
        async with asyncio.timeout(WAIT_S):
            while "os_glance_import_task" in await client.show(path):  # noqa: ASYNC110 - a task of Glint's
                await asyncio.sleep(0.05)
        await peer.rbd("clone", f"images/{path[-36:]}@snap", "images/disk-of-a-server")

        before = await client.show(path)
        assert before["stores"] == "local,ceph"
        assert (await client.ask("DELETE", path)).status == 409
        assert (await client.ask("DELETE", f"/v2/stores/ceph/{path[-36:]}")).status == 409
        assert (await client.show(path)) | {"updated_at": ""} == before | {"updated_at": ""}
        assert (tmp_path / "images" / path[-36:]).read_bytes() == data
        assert (await client.ask("GET", f"{path}/file")).body == data

        await peer.rbd("rm", "images/disk-of-a-server")
        assert (await client.ask("DELETE", path)).status == 204
        assert (await peer.names(), list((tmp_path / "images").iterdir())) == ([], [])


async def test_an_image_whose_clones_live_without_it_goes_to_the_trash(peer: RbdPeer) -> None:
    content = Noise(2 * CHUNK, seed=5)
    location = await peer.put(IMAGE_ID, content)
    await clone(peer, "--rbd-default-clone-format=2")

    await peer.store.delete(location)

    assert await peer.names() == ["disk-of-a-server"]
    assert IMAGE_ID in await peer.rbd("trash", "ls", "images")
    assert await read_whole(peer.store, Location(url="rbd://disk-of-a-server")) == content.read()
    await peer.rbd("rm", "images/disk-of-a-server")
    await peer.rbd("trash", "purge", "images")


@pytest.mark.parametrize("form", ["long", "short"])
async def test_an_image_that_is_open_elsewhere_stays_whole_when_it_is_to_be_deleted(peer: RbdPeer, form: str) -> None:
    location = await peer.put(IMAGE_ID, Fixed(b"data"))
    with open_elsewhere(peer), pytest.raises(Conflict):
        await peer.store.delete(location if form == "long" else Location(url=f"rbd://{IMAGE_ID}"))

    assert await snapshots(peer) == [("snap", "true")]
    await peer.store.delete(location)


async def test_an_image_that_is_opened_at_the_last_moment_gets_its_snapshot_back(
    peer: RbdPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    location = await peer.put(IMAGE_ID, Fixed(b"data"))
    rbd = peer.store._cluster.rbd

    def busy(*_: object, **__: object) -> None:
        raise rbd.ImageBusy("somebody came", errno=errno.EBUSY)

    class Busy(rbd.RBD):  # type: ignore[misc, name-defined]
        remove = busy

    with monkeypatch.context() as patched:
        patched.setattr(rbd, "RBD", Busy)
        with pytest.raises(Conflict):
            await peer.store.delete(location)

    assert await snapshots(peer) == [("snap", "true")]
    assert await read_whole(peer.store, location) == b"data"


async def test_an_image_removed_by_others_in_mid_read_never_reads_as_zeros(peer: RbdPeer) -> None:
    """Ceph itself keeps nothing for readers of a snapshot, and gives zeros then."""
    content = Noise(64 * CHUNK, seed=6)
    location = await peer.put(IMAGE_ID, content)

    async with peer.store.read(location) as chunks:
        got = await anext(chunks)
        await peer.store.delete(location)
        got += await broken_off(chunks)

    assert content.read(0, len(got)) == got


async def test_holes_of_an_image_that_is_there_are_zeros(peer: RbdPeer) -> None:
    await peer.rbd("create", "--size=64M", "images/empty")
    await peer.rbd("snap", "create", "images/empty@snap")

    assert await read_whole(peer.store, peer.location("empty")) == bytes(64 * MIB)
    await peer.rbd("snap", "purge", "images/empty")


async def test_leftovers_are_removed_unless_a_row_knows_them(peer: RbdPeer) -> None:
    await peer.rbd("create", "--size=64M", f"images/{IMAGE_ID}")  # a process died before it made the snapshot
    await peer.store.remove_leftover(IMAGE_ID, [])
    assert await peer.names() == []
    await peer.store.remove_leftover(IMAGE_ID, [])

    location = await peer.put(IMAGE_ID, Fixed(b"data"))
    for known in (location, Location(url=f"rbd://{IMAGE_ID}")):
        await peer.store.remove_leftover(IMAGE_ID, [Location(url="http://x/"), known])
    assert await peer.names() == [IMAGE_ID]
    await peer.store.remove_leftover(IMAGE_ID, [peer.location("another")])
    assert await peer.names() == []


async def test_a_cluster_that_is_not_the_configured_one_is_not_used(peer: RbdPeer) -> None:
    location = await peer.put(IMAGE_ID, Fixed(b"data"))
    config = peer.store._config.model_copy(update={"fsid": "0b3b7ee0-0000-4000-8000-000000000000"})
    other = await open_store("local", config)
    with pytest.raises(Denied, match=peer.ceph.fsid):
        await other.size(location)
    await other.close()


async def test_a_connection_that_the_cluster_bars_is_replaced(peer: RbdPeer) -> None:
    location = await peer.put(IMAGE_ID, Fixed(b"data"))
    with open_elsewhere(peer):
        status = json.loads(await peer.rbd("status", f"images/{IMAGE_ID}", "--format=json"))
    (watcher,) = status["watchers"]
    await asyncio.to_thread(peer.ceph.ceph, "osd", "blocklist", "add", watcher["address"])

    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            assert await read_whole(peer.store, location) == b"data"
            break
        except Unavailable:
            assert time.monotonic() < deadline
    await asyncio.to_thread(peer.ceph.ceph, "osd", "blocklist", "rm", watcher["address"])


async def test_a_cluster_that_is_full_says_so_at_once_and_keeps_nothing(peer: RbdPeer, tmp_path: Path) -> None:
    """A whole Glint. As Glance: 413, and the image waits for its data again; what is there is read and deleted."""
    ceph = {"kind": "rbd", "ceph_conf": peer.ceph.config, "user": peer.ceph.user, "chunk_size": "1 MiB"}
    backends = {"backends": {"ceph": ceph}, "default": "ceph"}
    data, room = Noise(4 * CHUNK, seed=10).read(), ExitStack()

    async def filling() -> AsyncIterator[bytes]:
        yield data
        await asyncio.to_thread(room.enter_context, peer.ceph.full())
        yield data

    async with serving(config_for(tmp_path, {"stores": backends})) as served:
        client = Client(served)
        there, late, early = await client.upload(data), await client.create(), await client.create()
        try:
            for path, sent in ((late, filling()), (early, data)):
                began_s = time.monotonic()
                answer = await client.ask("PUT", f"{path}/file", data=sent, headers=OCTETS)
                assert (answer.status, "ceph is full" in answer.text) == (413, True)
                assert time.monotonic() - began_s < WAIT_S  # librados would wait for room as long
                image = await client.show(path)
                assert (image["status"], image["size"], image["checksum"]) == ("queued", None, None)
            assert await peer.names() == [there[-36:]]
            assert (await client.ask("GET", f"{there}/file")).body == data
            assert (await client.ask("DELETE", there)).status == 204
            assert (await objects(peer), await peer.names()) == (0, [])
        finally:
            await asyncio.to_thread(room.close)
        assert (await client.ask("PUT", f"{early}/file", data=data, headers=OCTETS)).status == 204


class TestFrozen:
    """A cluster that holds its connections and says nothing. Its time-outs are whole seconds."""

    @pytest.fixture
    async def peer(self, ceph: Ceph) -> AsyncIterator[RbdPeer]:
        async with opened(ceph, chunk_size=CHUNK, connect_s=2, mon_s=2, osd_s=2, threads_max=2) as one:
            yield one

    async def test_a_frozen_osd_is_a_time_out_and_all_goes_on_once_it_is_back(self, peer: RbdPeer) -> None:
        content: Content = Noise(2 * CHUNK, seed=7)
        location = await eventually(lambda: peer.put(IMAGE_ID, content))
        with peer.ceph.frozen():
            results = await asyncio.gather(
                peer.store.size(location),
                read_whole(peer.store, location),
                peer.store.delete(location),
                peer.store.write("another", arriving(content), None),
                return_exceptions=True,
            )
            assert [type(result) for result in results] == [Unavailable] * 4

        assert await eventually(lambda: read_whole(peer.store, location)) == content.read()
        await eventually(lambda: peer.store.remove_leftover("another", []))
        await peer.put("another", Fixed(b"data"))

    async def test_a_read_that_was_begun_breaks_off_with_a_time_out(self, peer: RbdPeer) -> None:
        content = Noise(40 * CHUNK, seed=8)
        location = await peer.put(IMAGE_ID, content)
        async with peer.store.read(location) as chunks:
            got = await anext(chunks)
            with peer.ceph.frozen():
                got += await broken_off(chunks)
        assert content.read(0, len(got)) == got
        assert await eventually(lambda: read_whole(peer.store, location, len(got))) == content.read(len(got))

    async def test_a_call_that_librados_bounds_by_nothing_hangs_alone(self, peer: RbdPeer) -> None:
        """To open a pool that the client does not know yet waits for the monitor, for ever."""
        location = await peer.put(IMAGE_ID, Fixed(b"data"))
        unknown = Location(url=location.url.replace("/images/", "/nowhere/"))
        with peer.ceph.mon.frozen():
            with pytest.raises(Unavailable, match="no answer within"):
                await peer.store.size(unknown)
            # By the other thread; OSDs are there.
            assert await eventually(lambda: read_whole(peer.store, location)) == b"data"

        with pytest.raises(Invalid, match="no pool nowhere"):
            await eventually(lambda: peer.store.size(unknown))

    async def test_a_monitor_that_is_frozen_from_the_start_is_a_time_out(self, peer: RbdPeer) -> None:
        async with opened(peer.ceph, connect_s=2, mon_s=2, osd_s=2) as other:
            with peer.ceph.mon.frozen(), pytest.raises(Unavailable):
                await other.store.size(other.missing())
            with pytest.raises(DataNotFound):
                await eventually(lambda: other.store.size(other.missing()))
