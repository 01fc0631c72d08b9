"""A bucket of an S3 store: of Swift's s3api, and of Ceph's gateway."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.contract.stores.peers.peer import arriving
from tests.origin import Content
from tests.peers import Rgw, Swift
from upstream.stores.s3 import S3StoreConfig
from upstream.stores.s3.control import open_client
from upstream.stores.s3.store import S3Store, open_store
from upstream.types import Location


class Bucket(Protocol):
    """The other side of a store. Every test finds it empty, and leaves it so."""

    name: str

    @property
    def port(self) -> int: ...

    def config(self, **keys: object) -> S3StoreConfig:
        """Of a store in this bucket, with parts as small as there may be."""

    async def names(self) -> list[str]:
        """Images, uploads that are under way, and parts that belong to no image."""

    async def replace(self, name: str, content: bytes) -> None: ...

    async def empty(self) -> None: ...


def _config(url: str, access_key: str, secret_key: str, bucket: str, keys: dict[str, object]) -> S3StoreConfig:
    return S3StoreConfig.model_validate(
        {
            "kind": "s3",
            "endpoint": url,
            "access_key": access_key,
            "secret_key": secret_key,
            "bucket": bucket,
            "large_object_chunk_size": "5 MiB",
            "verify_tls": False,  # reading the system's certificates for each test would take most of its time
            **keys,
        }
    )


class SwiftBucket:
    """A container, and the one of its parts, which S3 does not show."""

    def __init__(self, swift: Swift) -> None:
        self._swift, self.name = swift, f"s3-{uuid.uuid4().hex[:12]}"
        self._segments = f"{self.name}+segments"
        for name in (self.name, self._segments):
            swift.api.make_container(name)

    @property
    def port(self) -> int:
        return self._swift.port

    def config(self, **keys: object) -> S3StoreConfig:
        return _config(self._swift.url, self._swift.s3.access, self._swift.s3.secret, self.name, keys)

    async def names(self) -> list[str]:
        images = await asyncio.to_thread(self._swift.api.names, self.name)
        parts = await asyncio.to_thread(self._swift.api.names, self._segments)
        return sorted([*images, *(name for name in parts if name.split("/")[0] not in images)])

    async def replace(self, name: str, content: bytes) -> None:
        await asyncio.to_thread(self._swift.api.put, self.name, name, content)

    async def empty(self) -> None:
        for name in (self.name, self._segments):
            await asyncio.to_thread(self._swift.api.empty, name)


class RgwBucket:
    """As S3 shows it."""

    def __init__(self, rgw: Rgw, *, name: str = "") -> None:
        self._rgw, self.name = rgw, name or f"s3-{uuid.uuid4().hex[:12]}"

    @property
    def port(self) -> int:
        return self._rgw.port

    def config(self, **keys: object) -> S3StoreConfig:
        return _config(self._rgw.url, self._rgw.access_key, self._rgw.secret_key, self.name, keys)

    async def make(self) -> None:
        async with self._client() as client:
            await client.create_bucket(Bucket=self.name)

    async def names(self) -> list[str]:
        async with self._client() as client:
            return [*await self._images(client), *(key for key, _ in await self._uploads(client))]

    async def replace(self, name: str, content: bytes) -> None:
        async with self._client() as client:
            await client.put_object(Bucket=self.name, Key=name, Body=content)

    async def empty(self) -> None:
        async with self._client() as client:
            for name in await self._images(client):
                await client.delete_object(Bucket=self.name, Key=name)
            for name, upload in await self._uploads(client):
                await client.abort_multipart_upload(Bucket=self.name, Key=name, UploadId=upload)

    def _client(self) -> AbstractAsyncContextManager[Any]:
        return open_client(self.config())

    async def _images(self, client: Any) -> list[str]:
        return [one["Key"] for one in (await client.list_objects_v2(Bucket=self.name)).get("Contents", ())]

    async def _uploads(self, client: Any) -> list[tuple[str, str]]:
        page = await client.list_multipart_uploads(Bucket=self.name)
        return [(one["Key"], one["UploadId"]) for one in page.get("Uploads", ())]


class S3Peer:
    def __init__(self, store: S3Store, bucket: Bucket, config: S3StoreConfig) -> None:
        self.store, self.bucket, self._config = store, bucket, config

    async def put(self, name: str, content: Content) -> Location:
        return (await self.store.write(name, arriving(content), content.size_bytes)).location

    async def replace(self, name: str, content: Content) -> None:
        await self.bucket.replace(name, content.read())

    def missing(self) -> Location:
        return Location(url=f"s3://{self._config.at.netloc}/{self.bucket.name}/nothing-here")

    async def names(self) -> list[str]:
        return await self.bucket.names()


@asynccontextmanager
async def s3_store(config: S3StoreConfig) -> AsyncIterator[S3Store]:
    async with AsyncExitStack() as stack:
        store = await open_store("local", config)
        stack.push_async_callback(store.close)
        yield store


@cache
def swift_bucket(swift: Swift) -> SwiftBucket:
    """One for all tests of a process: making one takes longer than most of them."""
    return SwiftBucket(swift)


_RGW_BUCKETS: dict[str, RgwBucket] = {}


async def rgw_bucket(rgw: Rgw) -> RgwBucket:
    """Likewise."""
    if rgw.url not in _RGW_BUCKETS:
        bucket = RgwBucket(rgw)
        await bucket.make()
        _RGW_BUCKETS[rgw.url] = bucket
    return _RGW_BUCKETS[rgw.url]


async def bucket_of(kind: str, request: pytest.FixtureRequest) -> Bucket:
    """`kind` is swift or rgw."""
    server: Any = request.getfixturevalue(kind)
    return await rgw_bucket(server) if kind == "rgw" else await asyncio.to_thread(swift_bucket, server)


@asynccontextmanager
async def s3_peer(request: pytest.FixtureRequest, _: Path, kind: str = "swift") -> AsyncIterator[S3Peer]:
    bucket = await bucket_of(kind, request)
    async with s3_store(bucket.config()) as store:
        try:
            yield S3Peer(store, bucket, bucket.config())
        finally:
            await bucket.empty()


@asynccontextmanager
async def rgw_peer(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[S3Peer]:
    async with s3_peer(request, tmp_path, "rgw") as peer:
        yield peer
