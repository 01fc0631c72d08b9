"""What only S3 has: keys, buckets and their addresses, multipart uploads of which nothing may stay."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from tests.contract.stores.peers import arriving, read_whole
from tests.contract.stores.peers.s3 import Bucket, RgwBucket, bucket_of, s3_store
from tests.origin import MIB, Fixed, Noise
from tests.peers import Rgw
from tests.relay import Fault, Gate, Relay
from upstream.errors import DataNotFound, Denied, Duplicate, Invalid, Unavailable, WrongLength
from upstream.stores.s3.control import open_client
from upstream.stores.s3.store import S3Store, open_store
from upstream.types import Location

IMAGE_ID = "8f1f5a0e-0000-4000-8000-000000000001"
OTHER_ID = "8f1f5a0e-0000-4000-8000-000000000002"
PART_BYTES = 5 * MIB
IN_PARTS = Noise(2 * PART_BYTES + 17, seed=3)  # in three of them
WAIT_S = 30.0
QUICK = {"connect_s": 1, "first_byte_s": 1, "idle_s": 1, "complete_s": 1}


# Over one server here and the other in the long form; the contract's own tests have it the other way round.
@pytest.fixture(params=["rgw", pytest.param("swift", marks=pytest.mark.long)])
async def bucket(request: pytest.FixtureRequest) -> AsyncIterator[Bucket]:
    bucket = await bucket_of(request.param, request)
    yield bucket
    await bucket.empty()


def located(bucket: Bucket) -> Location:
    return Location(url=f"s3://127.0.0.1:{bucket.port}/{bucket.name}/{IMAGE_ID}")


async def writing(store: S3Store, content: Noise | Fixed, size_bytes: int | None = None) -> Location:
    return (await store.write(IMAGE_ID, arriving(content), size_bytes)).location


async def in_pieces(content: Noise, piece_bytes: int) -> AsyncIterator[bytes]:
    for at in range(0, content.size_bytes, piece_bytes):
        yield content.read(at, min(at + piece_bytes, content.size_bytes))


@pytest.mark.parametrize(
    ("size_bytes", "is_announced", "keys"),
    [
        (0, True, {}),
        (0, False, {}),
        (PART_BYTES, True, {}),  # from memory
        (PART_BYTES + MIB, True, {}),  # in one request, as it comes
        (IN_PARTS.size_bytes, False, {}),
        (IN_PARTS.size_bytes, True, {"large_object_size": 1, "parts_max": 1}),
        (41 * MIB, True, {"large_object_size": 1, "large_object_chunk_size": "40 MiB"}),  # parts as they come
        (PART_BYTES + MIB, True, {"checksums": False}),
    ],
)
async def test_an_object_of_any_size_is_written_whole(
    bucket: Bucket, size_bytes: int, keys: Mapping[str, Any], *, is_announced: bool
) -> None:
    content = Noise(size_bytes, seed=5)
    async with s3_store(bucket.config(**keys)) as store:
        stored = await store.write(IMAGE_ID, in_pieces(content, MIB - 7), size_bytes if is_announced else None)

        assert stored.size_bytes == size_bytes == await store.size(stored.location)
        assert stored.location.url == located(bucket).url
        assert await read_whole(store, stored.location) == content.read()
        assert await bucket.names() == [IMAGE_ID]


@pytest.mark.long
async def test_an_object_of_more_than_64_parts_is_written_whole(bucket: Bucket) -> None:
    content = Noise(65 * PART_BYTES + 1, seed=6)
    async with s3_store(bucket.config(large_object_chunk_size="5 MiB")) as store:
        location = await writing(store, content)

        assert await read_whole(store, location, 64 * PART_BYTES) == content.read(64 * PART_BYTES)
        assert await bucket.names() == [IMAGE_ID]


@pytest.mark.parametrize("announced_bytes", [PART_BYTES + MIB + 1, PART_BYTES + MIB - 1])
async def test_data_of_another_size_than_announced_leave_nothing_where_that_was_relied_on(
    bucket: Bucket, announced_bytes: int
) -> None:
    async with s3_store(bucket.config()) as store:
        with pytest.raises(WrongLength):
            await writing(store, Noise(PART_BYTES + MIB), announced_bytes)
        assert await bucket.names() == []


@pytest.mark.parametrize("size_bytes", [MIB, IN_PARTS.size_bytes])
async def test_what_was_written_meanwhile_is_not_written_over(bucket: Bucket, size_bytes: int) -> None:
    """Looking beforehand does not show it: the store itself has to say so."""
    content = Noise(size_bytes, seed=7)

    async def overtaken() -> AsyncIterator[bytes]:
        yield content.read(0, MIB // 2)
        await bucket.replace(IMAGE_ID, b"first")
        yield content.read(MIB // 2)

    async with s3_store(bucket.config()) as store:
        with pytest.raises(Duplicate):
            await store.write(IMAGE_ID, overtaken(), None)
        assert (
            await read_whole(store, Location(url=f"s3://127.0.0.1:{bucket.port}/{bucket.name}/{IMAGE_ID}")) == b"first"
        )
        assert await bucket.names() == [IMAGE_ID]


async def test_a_part_that_is_refused_for_a_moment_is_sent_again(bucket: Bucket) -> None:
    with Relay(bucket.port) as relay:
        busy = Fault(status=503, body=b"<Error><Code>SlowDown</Code></Error>")
        rule = relay.on("PUT", "partNumber=2", busy)
        async with s3_store(bucket.config(endpoint=relay.url)) as store:
            location = await writing(store, IN_PARTS)

            assert rule.made == 1
            assert await read_whole(store, location) == IN_PARTS.read()


@pytest.mark.parametrize(
    ("method", "pattern", "fault"),
    [
        ("POST", "uploads", Fault(status=500)),
        ("POST", "uploads", Fault(lose_answer=True)),
        ("PUT", "partNumber=2", Fault(status=500)),
        ("PUT", "partNumber=2", Fault(take=MIB, reset=True)),
        ("PUT", "partNumber=2", Fault(lose_answer=True)),
        ("PUT", "partNumber=3", Fault(etag='"00000000000000000000000000000000"')),  # it got something else
        ("POST", "uploadId=", Fault(status=500)),
        ("POST", "uploadId=", Fault(refuse=True)),
    ],
    ids=repr,
)
async def test_an_upload_that_fails_leaves_neither_parts_nor_an_object(
    bucket: Bucket, method: str, pattern: str, fault: Fault
) -> None:
    with Relay(bucket.port) as relay:
        rule = relay.on(method, pattern, fault, times=None)
        async with s3_store(bucket.config(endpoint=relay.url)) as store:
            with pytest.raises(Unavailable):
                await writing(store, IN_PARTS)
    assert rule.made
    assert await bucket.names() == []


@pytest.mark.parametrize(("content", "pattern"), [(IN_PARTS, "uploadId="), (Noise(MIB, seed=4), IMAGE_ID)])
async def test_an_upload_whose_last_answer_is_lost_is_whole(bucket: Bucket, content: Noise, pattern: str) -> None:
    with Relay(bucket.port) as relay:
        rule = relay.on("POST" if content is IN_PARTS else "PUT", pattern, Fault(lose_answer=True))
        async with s3_store(bucket.config(endpoint=relay.url)) as store:
            location = await writing(store, content)

            assert rule.made == 1
            assert await read_whole(store, location) == content.read()


async def test_a_completion_that_is_never_answered_is_looked_for_meanwhile(bucket: Bucket) -> None:
    """An object that is there is found; if the store says nothing more at all, it is not waited for any longer."""
    keys = {**QUICK, "complete_s": 2 * WAIT_S}
    with Relay(bucket.port) as relay:
        async with s3_store(bucket.config(endpoint=relay.url, **keys)) as store, asyncio.timeout(WAIT_S):
            relay.on("POST", "uploadId=", Fault(gate=Gate()), times=None)
            location = await writing(store, IN_PARTS)
            assert await read_whole(store, location) == IN_PARTS.read()

            relay.on("HEAD", OTHER_ID, Fault(gate=Gate()), skip=1, times=None)
            with pytest.raises(Unavailable, match="no answer in time"):
                await store.write(OTHER_ID, arriving(IN_PARTS), None)
            relay.heal()
            await store.remove_leftover(OTHER_ID, [])
    assert await bucket.names() == [IMAGE_ID]


async def test_a_completion_may_take_long_as_long_as_something_comes(bucket: Bucket) -> None:
    with Relay(bucket.port) as relay:
        rule = relay.on("POST", "uploadId=", Fault(rate_bytes_s=100))
        relay.on("HEAD", IMAGE_ID, Fault(status=404), times=2)  # before it is asked for it, and once meanwhile
        async with s3_store(bucket.config(endpoint=relay.url, complete_s=1, first_byte_s=1)) as store:
            began_s = time.monotonic()
            await writing(store, IN_PARTS)
    assert (rule.made, time.monotonic() - began_s > 1) == (1, True)


@pytest.mark.parametrize(
    ("content", "method", "pattern"),
    [
        (IN_PARTS, "POST", "uploads"),
        (IN_PARTS, "PUT", "partNumber=1"),
        (IN_PARTS, "POST", "uploadId="),
        (Noise(MIB), "PUT", IMAGE_ID),
    ],
)
async def test_an_upload_that_is_cancelled_while_the_store_works_leaves_nothing(
    bucket: Bucket, content: Noise, method: str, pattern: str
) -> None:
    gate = Gate()
    with Relay(bucket.port) as relay:
        relay.on(method, pattern, Fault(gate=gate))
        async with s3_store(bucket.config(endpoint=relay.url)) as store, asyncio.TaskGroup() as group:
            task = group.create_task(writing(store, content))
            await gate.reached()
            task.cancel()
            relay.heal()
    assert task.cancelled()
    assert await bucket.names() == []


async def test_a_store_that_is_silent_is_a_time_out(bucket: Bucket) -> None:
    with Relay(bucket.port) as relay:
        async with s3_store(bucket.config(endpoint=relay.url)) as patient:
            location = await writing(patient, Fixed(b"data"))
        async with s3_store(bucket.config(endpoint=relay.url, **QUICK)) as store:
            for method in ("GET", "HEAD"):
                relay.on(method, ".", Fault(gate=Gate()), times=None)
            with pytest.raises(Unavailable, match="no answer in time"):
                await read_whole(store, location)
            for asked in (store.size(location), store.delete(location), writing(store, IN_PARTS)):
                with pytest.raises(Unavailable, match="no answer in time"):
                    await asked
            relay.heal()
            relay.on("PUT", "partNumber", Fault(gate=Gate()), times=None)
            with pytest.raises(Unavailable, match="no answer in time"):
                await store.write(OTHER_ID, arriving(IN_PARTS), None)
            relay.heal()
    assert await bucket.names() == [IMAGE_ID]


async def test_wrong_keys_are_denied_and_nobody_is_told_them(bucket: Bucket) -> None:
    location = located(bucket)
    for keys in ({"secret_key": "hunter2"}, {"access_key": "hunter2:hunter2"}):
        async with s3_store(bucket.config(**keys)) as store:
            for asked in (read_whole(store, location), store.size(location), writing(store, Fixed(b"data"))):
                with pytest.raises(Denied) as caught:
                    await asked
                assert "hunter2" not in str(caught.value)


async def test_a_bucket_that_is_missing_is_told_or_made(bucket: Bucket) -> None:
    name = f"{bucket.name}-new"
    async with s3_store(bucket.config(bucket=name)) as store:
        with pytest.raises(DataNotFound):
            await store.size(Location(url=f"s3://127.0.0.1:{bucket.port}/{name}/{IMAGE_ID}"))
        with pytest.raises(Denied, match="create it, or set create_bucket"):
            await writing(store, Fixed(b"data"))
        await store.remove_leftover(IMAGE_ID, ())
    async with s3_store(bucket.config(bucket=name, create_bucket=True)) as store:
        location = await writing(store, Fixed(b"data"))
        assert await read_whole(store, location) == b"data"
        await store.delete(location)
    async with open_client(bucket.config()) as client:
        await client.delete_bucket(Bucket=name)


async def test_a_row_with_old_keys_is_read_and_deleted_with_the_stores_own(bucket: Bucket) -> None:
    async with s3_store(bucket.config()) as store:
        await writing(store, Fixed(b"data"))
        old = Location(url=f"s3+http://OLD:ro/tt/en@127.0.0.1:{bucket.port}/{bucket.name}/{IMAGE_ID}")

        assert await read_whole(store, old) == b"data"
        await store.delete(old)
        assert await bucket.names() == []


async def test_a_row_of_another_endpoint_is_refused_before_anybody_is_asked(bucket: Bucket) -> None:
    elsewhere = Location(url=f"s3://192.0.2.1/{bucket.name}/{IMAGE_ID}")
    async with s3_store(bucket.config()) as store:
        for asked in (read_whole(store, elsewhere), store.size(elsewhere), store.delete(elsewhere)):
            with pytest.raises(Invalid, match="another endpoint than the one that store local is configured for"):
                await asked


class EveryNameIsHere(AbstractResolver):
    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        here: ResolveResult = {
            "hostname": host,
            "host": "127.0.0.1",
            "port": port,
            "family": socket.AF_INET,
            "proto": 0,
            "flags": socket.AI_NUMERICHOST,
        }
        return [here]

    async def close(self) -> None:
        pass


async def test_a_bucket_in_the_host_name_is_written_and_read(rgw: Rgw) -> None:
    """Only a gateway that knows its own name can tell the bucket apart: by path it would be another one."""
    bucket = RgwBucket(rgw)
    await bucket.make()
    with Relay(bucket.port) as relay:
        config = bucket.config(endpoint=f"http://localhost:{relay.port}", addressing="virtual")
        store = await open_store("local", config, EveryNameIsHere())
        try:
            location = await writing(store, IN_PARTS)
            assert await read_whole(store, location, 7, PART_BYTES + 7) == IN_PARTS.read(7, PART_BYTES + 7)
            assert {seen.headers["host"] for seen in relay.seen} == {f"{bucket.name}.localhost:{relay.port}"}
            assert location.url == f"s3://localhost:{relay.port}/{bucket.name}/{IMAGE_ID}"
            await store.delete(location)
        finally:
            await store.close()


async def test_what_a_killed_upload_left_is_removed_unless_a_row_names_it(bucket: Bucket) -> None:
    async with s3_store(bucket.config()) as store, open_client(bucket.config()) as client:
        location = await writing(store, Fixed(b"data"))
        for key in (IMAGE_ID, f"{IMAGE_ID}-other"):
            upload = (await client.create_multipart_upload(Bucket=bucket.name, Key=key))["UploadId"]
            await client.upload_part(Bucket=bucket.name, Key=key, UploadId=upload, PartNumber=1, Body=b"part")

        kept = Location(url=location.url.replace("s3://", "s3+http://OLD:rotten@"))
        await store.remove_leftover(IMAGE_ID, [kept])
        assert await read_whole(store, location) == b"data"
        assert {one["Key"] for one in (await client.list_multipart_uploads(Bucket=bucket.name))["Uploads"]} == {
            f"{IMAGE_ID}-other"
        }

        await store.remove_leftover(IMAGE_ID, ())
        await store.remove_leftover(IMAGE_ID, ())
        with pytest.raises(DataNotFound):
            await store.size(location)
