"""Whose certificates an S3 store believes: the same for bulk data and for all else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from ssl import SSLContext

import pytest

from tests.contract.stores.peers import arriving, read_whole
from tests.contract.stores.peers.s3 import Bucket, bucket_of, s3_store
from tests.origin import MIB, Noise
from tests.tls import Authority
from upstream.errors import Unavailable
from upstream.types import Location

IMAGE_ID = "8f1f5a0e-0000-4000-8000-000000000001"
CONTENT = Noise(6 * MIB, seed=9)
_REFUSED = "its TLS certificate or handshake was refused"


@asynccontextmanager
async def behind_tls(bucket: Bucket, context: SSLContext) -> AsyncIterator[str]:
    """The endpoint of the bucket's store behind a server that only takes TLS away."""

    async def passed_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", bucket.port)
        with suppress(ConnectionError):
            await asyncio.gather(copied(reader, inner_writer), copied(inner_reader, writer))

    async def copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(MIB):
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()

    async with await asyncio.start_server(passed_on, "127.0.0.1", 0, ssl=context) as server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_certificates_are_proved_by_ca_file_unless_nobody_asks(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    bucket = await bucket_of("rgw", request)
    async with behind_tls(bucket, authority.server()) as endpoint:
        trusting = bucket.config(endpoint=endpoint, verify_tls=True, ca_file=authority.ca_file)
        async with s3_store(trusting) as store:
            location = (await store.write(IMAGE_ID, arriving(CONTENT), None)).location
            assert location.url == f"s3+https{endpoint.removeprefix('https')}/{bucket.name}/{IMAGE_ID}"
            assert await read_whole(store, location, 7) == CONTENT.read(7)
        async with s3_store(bucket.config(endpoint=endpoint, verify_tls=True)) as store:
            for asked in (read_whole(store, location), store.size(location), store.delete(location)):
                with pytest.raises(Unavailable, match=_REFUSED):
                    await asked
        async with s3_store(bucket.config(endpoint=endpoint, verify_tls=False)) as store:
            assert await read_whole(store, Location(url=location.url), 0, 5) == CONTENT.read(0, 5)
            await store.delete(location)
