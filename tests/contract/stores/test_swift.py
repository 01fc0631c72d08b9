"""What only Swift has: segments and manifests, tokens, containers, accounts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.contract.stores.peers import SwiftPeer, arriving, read_whole
from tests.contract.stores.peers.swift import opened
from tests.origin import MIB, Fixed, Noise
from tests.peers import Swift, SwiftOptions
from tests.relay import Fault, Gate, Relay
from upstream.errors import (
    Denied,
    Duplicate,
    Invalid,
    StoreFull,
    Unavailable,
    UpstreamError,
    WrongLength,
)
from upstream.stores import Witness
from upstream.types import Location

IMAGE_ID = "8f1f5a0e-0000-4000-8000-000000000001"
OTHER_ID = "8f1f5a0e-0000-4000-8000-000000000002"
SMALL = {"large_object_size": 1, "large_object_chunk_size": MIB}


@pytest.fixture
async def peer(swift: Swift) -> AsyncIterator[SwiftPeer]:
    """Everything in segments of 1 MiB."""
    async with opened(swift, **SMALL) as peer:
        yield peer


async def put(peer: SwiftPeer, name: str, content: bytes, **headers: str) -> None:
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    await asyncio.to_thread(peer.swift.api.make_container, peer.config.container)
    await asyncio.to_thread(peer.swift.api.put, peer.config.container, name, content, named)


def login(relay: Relay, swift: Swift) -> dict[str, Any]:
    """Tempauth names its storage URL as it was asked: all goes through the relay."""
    return {"references": {"ref1": reference(relay.url, swift.user, swift.key)}}


def reference(url: str, user: str, key: str) -> dict[str, Any]:
    return {"auth_address": f"{url}/auth/v1.0", "auth_version": 1, "user": user, "key": key}


async def test_a_large_object_is_segments_and_a_manifest_as_glance_makes_them(peer: SwiftPeer) -> None:
    content = Noise(3 * MIB + 17, seed=1)

    stored = await peer.store.write(IMAGE_ID, arriving(content), None)

    assert stored.size_bytes == content.size_bytes
    assert await peer.all_names() == [IMAGE_ID, *(f"{IMAGE_ID}-{number:05d}" for number in range(1, 5))]
    headers = await asyncio.to_thread(peer.swift.api.headers, peer.config.container, IMAGE_ID)
    assert headers["X-Object-Manifest"] == f"{peer.config.container}/{IMAGE_ID}-"
    last = await asyncio.to_thread(peer.swift.api.get, peer.config.container, f"{IMAGE_ID}-00004")
    assert last == content.read(3 * MIB)
    await peer.store.delete(stored.location)
    assert await peer.all_names() == []


async def test_segments_are_sent_at_once_and_their_answers_are_not_waited_for(swift: Swift) -> None:
    gate = Gate()
    with Relay(swift.port) as relay:
        async with opened(swift, **login(relay, swift), **SMALL, writes_max=3) as peer, asyncio.TaskGroup() as group:
            content = Noise(6 * MIB, seed=2)
            relay.on("PUT", f"{IMAGE_ID}-", Fault(gate=gate), times=None)
            writing = group.create_task(peer.store.write(IMAGE_ID, arriving(content), content.size_bytes))
            await gate.reached(3)
            gate.open()
            stored = await writing

            assert relay.at_once_max == 3
            assert await read_whole(peer.store, stored.location) == content.read()


@pytest.mark.parametrize("size_bytes", [0, None])
async def test_an_image_of_no_bytes_is_kept_whether_that_was_known_or_not(swift: Swift, size_bytes: int | None) -> None:
    async with opened(swift) as peer:
        stored = await peer.store.write(IMAGE_ID, arriving(Fixed(b"")), size_bytes)

        assert await peer.all_names() == [IMAGE_ID]
        assert await peer.store.size(stored.location) == stored.size_bytes == 0
        assert await read_whole(peer.store, stored.location) == b""


async def test_many_who_find_their_token_refused_share_one_new_one(swift: Swift) -> None:
    with Relay(swift.port) as relay:
        async with opened(swift, **login(relay, swift)) as peer:
            location = await peer.put("disk", Noise(MIB))
            relay.forget()
            await asyncio.to_thread(swift.forget_tokens)

            async with asyncio.TaskGroup() as group:
                reads = [group.create_task(read_whole(peer.store, location)) for _ in range(8)]

            assert {read.result() for read in reads} == {Noise(MIB).read()}
            assert relay.targets("GET").count("/auth/v1.0") == 1


async def test_a_token_that_is_revoked_in_mid_upload_is_replaced(peer: SwiftPeer) -> None:
    content = Noise(5 * MIB, seed=3)

    async def interrupted() -> AsyncIterator[bytes]:
        for number, piece in enumerate(content.read(at, at + MIB) for at in range(0, content.size_bytes, MIB)):
            if number in {2, 3}:
                await asyncio.to_thread(peer.swift.forget_tokens)
            yield piece

    stored = await peer.store.write(IMAGE_ID, interrupted(), None)

    assert await read_whole(peer.store, stored.location) == content.read()


@pytest.mark.long
async def test_uploads_and_reads_go_on_past_the_end_of_many_tokens(tmp_path: Path) -> None:
    content = Noise(8 * MIB, seed=6)

    async def slow() -> AsyncIterator[bytes]:
        for at in range(0, content.size_bytes, MIB):
            yield content.read(at, at + MIB)
            await asyncio.sleep(1)

    async with Swift(tmp_path, options=SwiftOptions(token_life_s=3)) as swift, opened(swift, **SMALL) as peer:
        with capture_logs() as logs:
            stored = await peer.store.write(IMAGE_ID, slow(), None)
            witness, got = Witness(), b""
            for at in range(0, content.size_bytes, 2 * MIB):
                got += await read_whole(peer.store, stored.location, at, at + 2 * MIB, witness)
                await asyncio.sleep(1)

    assert got == content.read()
    assert sum(entry["event"] == "store.token_renewed" for entry in logs) >= 3


async def test_a_read_outlives_its_token_and_the_next_part_is_read_by_another(peer: SwiftPeer) -> None:
    content, witness = Noise(6 * MIB, seed=4), Witness()
    location = await peer.put(IMAGE_ID, content)

    async with peer.store.read(location, 0, None, witness) as chunks:
        got = await anext(chunks)
        await asyncio.to_thread(peer.swift.forget_tokens)
        got += b"".join([chunk async for chunk in chunks])

    assert got == content.read()
    assert await read_whole(peer.store, location, 7, 5 * MIB, witness) == content.read(7, 5 * MIB)


async def test_a_wrong_key_is_denied_and_told_nowhere(swift: Swift) -> None:
    with Relay(swift.port) as relay, capture_logs() as logs:
        async with opened(swift, references={"ref1": reference(relay.url, swift.user, "hunter2")}) as peer:
            for _ in range(2):
                with pytest.raises(Denied) as refused:
                    await peer.store.size(peer.missing())
                assert "hunter2" not in str(refused.value)

            assert "hunter2" not in str(logs)
            assert relay.targets("GET") == ["/auth/v1.0"]  # a second attempt would lock an account out


async def test_a_missing_segment_is_noticed_by_who_knows_the_size(peer: SwiftPeer) -> None:
    location = await peer.put(IMAGE_ID, Noise(3 * MIB))
    await asyncio.to_thread(peer.swift.api.delete, peer.config.container, f"{IMAGE_ID}-00002")

    with pytest.raises(WrongLength):
        await read_whole(peer.store, location, witness=Witness(size_bytes=3 * MIB))


@pytest.mark.parametrize(
    ("name", "fault", "expected"),
    [
        (IMAGE_ID, Fault(status=413), StoreFull),
        (IMAGE_ID, Fault(status=401), Denied),
        (IMAGE_ID, Fault(take=300_000), Unavailable),
        (IMAGE_ID, Fault(lose_answer=True), Unavailable),
        (IMAGE_ID, Fault(redirect="http://127.0.0.1:1/"), Invalid),
        (f"{IMAGE_ID}-00003", Fault(status=507), StoreFull),
        (f"{IMAGE_ID}-00003", Fault(status=503), Unavailable),
        (f"{IMAGE_ID}-00003", Fault(take=300_000), Unavailable),
        (f"{IMAGE_ID}-00003", Fault(etag='"00000000000000000000000000000000"'), Unavailable),
    ],
    ids=repr,
)
async def test_a_failed_upload_leaves_nothing(
    swift: Swift, name: str, fault: Fault, expected: type[UpstreamError]
) -> None:
    with Relay(swift.port) as relay:
        sizes = {} if name == IMAGE_ID else SMALL
        async with opened(swift, **login(relay, swift), **sizes) as peer:
            rule = relay.on("PUT", f"/{name}$", fault, times=2 if fault.status == 401 else 1)
            with pytest.raises(expected):
                await peer.store.write(IMAGE_ID, arriving(Noise(4 * MIB)), 4 * MIB)

            assert rule.made
            assert await peer.all_names() == []


async def test_what_a_dead_upload_left_is_no_part_of_the_next(peer: SwiftPeer) -> None:
    for number in (1, 2, 40):
        await put(peer, f"{IMAGE_ID}-{number:05d}", b"stale")
    content = Noise(2 * MIB, seed=5)

    stored = await peer.store.write(IMAGE_ID, arriving(content), None)

    assert await read_whole(peer.store, stored.location) == content.read()


async def test_a_leftover_is_removed_and_nobody_elses_data(peer: SwiftPeer) -> None:
    kept = [OTHER_ID, f"{OTHER_ID}-00001", f"{IMAGE_ID}-x", f"{IMAGE_ID}0"]
    for name in (IMAGE_ID, f"{IMAGE_ID}-00001", f"{IMAGE_ID}-00007", *kept):
        await put(peer, name, b"data")
    location = Location(url=peer.config.url(peer.config.container, IMAGE_ID))

    await peer.store.remove_leftover(IMAGE_ID, [location])
    assert len(await peer.all_names()) == 7
    await peer.store.remove_leftover(IMAGE_ID, [Location(url=peer.config.url(peer.config.container, OTHER_ID))])
    assert await peer.all_names() == sorted(kept)
    await peer.store.remove_leftover(IMAGE_ID, [])


async def test_a_static_large_object_goes_with_its_segments(peer: SwiftPeer) -> None:
    await put(peer, "part-a", b"abc")
    await put(peer, "part-b", b"def")
    parts = f'[{{"path": "{peer.config.container}/part-a"}}, {{"path": "{peer.config.container}/part-b"}}]'
    path = f"{peer.config.container}/{IMAGE_ID}?multipart-manifest=put"
    await asyncio.to_thread(peer.swift.api.call, "PUT", path, parts.encode())
    location = Location(url=peer.config.url(peer.config.container, IMAGE_ID))

    assert await read_whole(peer.store, location, 2) == b"cdef"
    await peer.store.delete(location)
    assert await peer.all_names() == []


async def test_a_deletion_that_failed_half_way_can_be_repeated(swift: Swift) -> None:
    with Relay(swift.port) as relay:
        async with opened(swift, **login(relay, swift), **SMALL) as peer:
            location = await peer.put(IMAGE_ID, Noise(3 * MIB))
            relay.on("DELETE", f"{IMAGE_ID}-00002$", Fault(status=503), times=3)

            with pytest.raises(Unavailable):
                await peer.store.delete(location)
            assert await peer.all_names() == [IMAGE_ID, f"{IMAGE_ID}-00002"]
            await peer.store.delete(location)
            assert await peer.all_names() == []


async def test_a_manifest_that_means_everything_takes_nothing_along(peer: SwiftPeer) -> None:
    await put(peer, "somebody-elses", b"data")
    await put(peer, IMAGE_ID, b"", X_Object_Manifest=f"{peer.config.container}/s")

    await peer.store.delete(Location(url=peer.config.url(peer.config.container, IMAGE_ID)))

    assert await peer.all_names() == ["somebody-elses"]


async def test_a_container_is_made_only_if_that_is_wanted(swift: Swift) -> None:
    async with opened(swift, create_container=False) as peer:
        with pytest.raises(Denied, match="create_container"):
            await peer.put(IMAGE_ID, Fixed(b"data"))
        assert peer.config.container not in await asyncio.to_thread(swift.api.containers)


async def test_with_a_seed_each_beginning_of_ids_has_a_container(swift: Swift) -> None:
    async with opened(swift, multiple_containers_seed=2) as peer:
        location = await peer.put(IMAGE_ID, Fixed(b"data"))

        assert location.url == f"swift+config://ref1/{peer.config.container}_8f/{IMAGE_ID}"
        assert await asyncio.to_thread(swift.api.names, f"{peer.config.container}_8f") == [IMAGE_ID]
        assert await read_whole(peer.store, location) == b"data"


async def test_a_container_that_was_removed_is_told_and_made_again(peer: SwiftPeer) -> None:
    location = await peer.put(IMAGE_ID, Fixed(b"data"))
    await peer.store.delete(location)
    await asyncio.to_thread(peer.swift.api.call, "DELETE", peer.config.container)

    with pytest.raises(Unavailable, match="is gone"):
        await peer.put(IMAGE_ID, Fixed(b"data"))

    assert await read_whole(peer.store, await peer.put(IMAGE_ID, Fixed(b"data"))) == b"data"


async def test_what_lies_there_already_is_not_touched_even_by_a_failure(peer: SwiftPeer) -> None:
    await put(peer, IMAGE_ID, b"another's")
    for store_sizes in (SMALL, {"large_object_size": 10 * MIB}):
        async with opened(peer.swift, **store_sizes, container=peer.config.container) as other:
            with pytest.raises(Duplicate):
                await other.put(IMAGE_ID, Noise(2 * MIB))
    assert await asyncio.to_thread(peer.swift.api.get, peer.config.container, IMAGE_ID) == b"another's"


async def test_rows_with_credentials_are_read_by_them_where_the_configuration_names_their_host(swift: Swift) -> None:
    with Relay(swift.port) as elsewhere:
        async with AsyncExitStack() as stack:
            peer = await stack.enter_async_context(opened(swift))
            listed = {"further_auth_addresses": [f"{elsewhere.url}/auth/v1.0"], "container": peer.config.container}
            lenient = await stack.enter_async_context(opened(swift, **listed))
            await peer.put("disk", Fixed(b"data"))
            path = f"auth/v1.0/{peer.config.container}/disk"
            here, there = (url.removeprefix("http://") for url in (swift.url, elsewhere.url))

            for credentials in ("test%3Atester:testing", "test%3Atester:an-older-key", "test:tester:testing"):
                assert (
                    await read_whole(peer.store, Location(url=f"swift+http://{credentials}@{here}/{path}")) == b"data"
                )
            for credentials in ("test%3Areader:reading", "test%3Areader:wrong"):
                with pytest.raises(Denied):
                    await peer.store.size(Location(url=f"swift+http://{credentials}@{here}/{path}"))
            foreign = Location(url=f"swift+http://test%3Atester:testing@{there}/{path}")
            with pytest.raises(Denied, match="does not name"):
                await peer.store.size(foreign)
            assert elsewhere.seen == []
            assert await read_whole(lenient.store, foreign) == b"data"


async def test_a_storage_url_is_read_by_our_account_in_our_own_swift_only(swift: Swift) -> None:
    with Relay(swift.port) as elsewhere:
        async with opened(swift) as peer:
            await peer.put("disk", Fixed(b"data"))
            path = f"v1/{swift.api.account}/{peer.config.container}/disk"

            location = Location(url=f"swift+http://{swift.url.removeprefix('http://')}/{path}")
            assert await read_whole(peer.store, location) == b"data"
            with pytest.raises(Denied, match="its own Swift"):
                await peer.store.size(Location(url=f"swift+http://{elsewhere.url.removeprefix('http://')}/{path}"))
            assert elsewhere.seen == []


async def test_an_unknown_reference_is_invalid(peer: SwiftPeer) -> None:
    with pytest.raises(Invalid, match="ref9"):
        await peer.store.size(Location(url="swift+config://ref9/images/disk"))


async def test_an_application_credential_logs_in_and_its_locations_hold_none(keystone_swift: Swift) -> None:
    keystone = keystone_swift.keystone
    assert keystone is not None
    credential = await asyncio.to_thread(keystone.api.application_credential, "demo", "demo")
    secret = {"application_credential_id": credential[0], "application_credential_secret": credential[1]}
    account = {"auth_address": keystone.url, **secret}
    async with opened(keystone_swift, references={"ref1": account}, credentials_in_locations=True) as peer:
        location = await peer.put(IMAGE_ID, Fixed(b"data"))

        assert location.url.startswith(f"swift+http://{keystone.url.removeprefix('http://')}/")
        assert await read_whole(peer.store, location) == b"data"


async def test_the_catalogue_is_asked_for_region_interface_and_type(keystone_swift: Swift) -> None:
    async with opened(keystone_swift, region="RegionOne", endpoint_type="internal") as peer:
        await peer.put(IMAGE_ID, Fixed(b"data"))
    async with opened(keystone_swift, region="RegionTwo") as peer:
        with pytest.raises(Denied, match="RegionTwo"):
            await peer.put(IMAGE_ID, Fixed(b"data"))
    async with opened(keystone_swift, region="RegionTwo", endpoint=keystone_swift.storage_url) as peer:
        await peer.put(IMAGE_ID, Fixed(b"data"))


async def first_and_rest(peer: SwiftPeer, location: Location, meanwhile: AbstractContextManager[None]) -> None:
    """A read whose server fails after the first bytes."""
    async with peer.store.read(location) as chunks:
        await anext(chunks)
        with meanwhile:
            async for _ in chunks:
                pass


async def test_a_frozen_object_server_is_a_time_out_in_each_phase(swift: Swift) -> None:
    times = {"connect_s": 1, "first_byte_s": 1, "idle_s": 1}
    async with opened(swift) as patient, opened(swift, **times, container=patient.config.container) as peer:
        location = await patient.put("disk", Noise(24 * MIB))
        with pytest.raises(Unavailable, match="in time"):
            await first_and_rest(peer, location, swift.objects.frozen())
        with swift.objects.frozen():
            for asking in (peer.store.size(location), read_whole(peer.store, location)):
                with pytest.raises(Unavailable, match="in time"):
                    await asking
            with pytest.raises(Unavailable, match="in time"):
                await peer.put(IMAGE_ID, Fixed(b"data"))
        assert await read_whole(patient.store, location, 5, 10) == Noise(24 * MIB).read(5, 10)


async def test_an_object_server_that_dies_in_mid_read_is_an_error(swift: Swift) -> None:
    async with opened(swift) as peer:
        location = await peer.put("disk", Noise(24 * MIB))
        with pytest.raises((Unavailable, WrongLength)):
            await first_and_rest(peer, location, swift.objects.killed())
        assert await read_whole(peer.store, location) == Noise(24 * MIB).read()
