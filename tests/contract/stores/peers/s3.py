"""A bucket of an S3 store: of Swift's s3api."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

import pytest

from tests.contract.stores.peers.peer import arriving
from tests.origin import Content
from tests.peers import Swift
from upstream.stores.s3 import S3StoreConfig
from upstream.stores.s3.store import S3Store, open_store
from upstream.types import Location


class SwiftBucket:
    """The other side of a bucket: the account's containers."""

    def __init__(self, swift: Swift) -> None:
        self.swift, self.name = swift, f"s3-{uuid.uuid4().hex[:12]}"
        self.segments = f"{self.name}+segments"

    def make(self) -> None:
        for name in (self.name, self.segments):
            self.swift.api.make_container(name)

    def names(self) -> list[str]:
        """Images, the marks of uploads that are under way, and parts that belong to no image."""
        images = self.swift.api.names(self.name)
        lone = self.swift.api.names(self.segments)
        return sorted([*images, *(name for name in lone if name.split("/")[0] not in images)])

    def replace(self, name: str, content: bytes) -> None:
        self.swift.api.put(self.name, name, content)

    def empty(self) -> None:
        for name in (self.name, self.segments):
            self.swift.api.empty(name)


def swift_config(swift: Swift, bucket: str, **keys: object) -> S3StoreConfig:
    return S3StoreConfig.model_validate(
        {
            "kind": "s3",
            "endpoint": swift.url,
            "access_key": swift.s3.access,
            "secret_key": swift.s3.secret,
            "bucket": bucket,
            "large_object_chunk_size": "5 MiB",
            "verify_tls": False,  # reading the system's certificates for each test would take most of its time
            **keys,
        }
    )


class S3Peer:
    def __init__(self, store: S3Store, bucket: SwiftBucket) -> None:
        self.store, self.bucket = store, bucket

    async def put(self, name: str, content: Content) -> Location:
        return (await self.store.write(name, arriving(content), content.size_bytes)).location

    async def replace(self, name: str, content: Content) -> None:
        await asyncio.to_thread(self.bucket.replace, name, content.read())

    def missing(self) -> Location:
        return Location(url=f"s3://{self.bucket.swift.url[7:]}/{self.bucket.name}/nothing-here")

    async def names(self) -> list[str]:
        return await asyncio.to_thread(self.bucket.names)


@cache
def shared_bucket(swift: Swift) -> SwiftBucket:
    """One for all tests of a process, each of which empties it: making one takes longer than most of them."""
    bucket = SwiftBucket(swift)
    bucket.make()
    return bucket


@asynccontextmanager
async def s3_peer(request: pytest.FixtureRequest, _: Path) -> AsyncIterator[S3Peer]:
    swift: Swift = request.getfixturevalue("swift")
    bucket = await asyncio.to_thread(shared_bucket, swift)
    store = await open_store("local", swift_config(swift, bucket.name))
    try:
        yield S3Peer(store, bucket)
    finally:
        await store.close()
        await asyncio.to_thread(bucket.empty)
