"""A real Swift: with accounts of its own, and with Keystone's."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.contract.stores.peers.peer import arriving
from tests.origin import Content
from tests.peers import Swift
from upstream.stores import SwiftStoreConfig
from upstream.stores.swift.store import SwiftStore, open_store
from upstream.types import Location

_SIZES = {"large_object_size": "2 MiB", "large_object_chunk_size": "4 MiB"}


class SwiftPeer:
    def __init__(self, store: SwiftStore, swift: Swift, config: SwiftStoreConfig) -> None:
        self.store, self.swift, self.config = store, swift, config

    async def put(self, name: str, content: Content) -> Location:
        return (await self.store.write(name, arriving(content), content.size_bytes)).location

    async def replace(self, name: str, content: Content) -> None:
        await self.store.delete(Location(url=self.config.url(self.config.container, name)))
        await self.put(name, content)

    def missing(self) -> Location:
        return Location(url=self.config.url(self.config.container, "nothing-here"))

    async def all_names(self) -> list[str]:
        """Objects, manifests and segments."""
        return await asyncio.to_thread(self.swift.api.names, self.config.container)

    async def names(self) -> list[str]:
        """A large object's segments go with it; those of none are told."""
        names = await self.all_names()
        return [name for name in names if name[:-6] not in names]


def swift_config(swift: Swift, **keys: Any) -> SwiftStoreConfig:
    """In a container of its own, which the store makes."""
    reference = {"auth_address": swift.auth_url, "user": swift.user, "key": swift.key}
    known = {
        "references": {"ref1": {**reference, "auth_version": 1 if swift.keystone is None else 3}},
        "container": f"images-{uuid.uuid4().hex[:12]}",
        "create_container": True,
        "verify_tls": False,
    }
    return SwiftStoreConfig.model_validate({"kind": "swift", **known, **keys})


@asynccontextmanager
async def opened(swift: Swift, **keys: Any) -> AsyncIterator[SwiftPeer]:
    config = swift_config(swift, **keys)
    store = await open_store("local", config)
    try:
        yield SwiftPeer(store, swift, config)
    finally:
        await store.close()


@asynccontextmanager
async def swift_peer(request: pytest.FixtureRequest, _: Path) -> AsyncIterator[SwiftPeer]:
    """Large objects from 2 MiB on, in segments of 4 MiB; rows that hold credentials."""
    async with opened(request.getfixturevalue("swift"), credentials_in_locations=True, **_SIZES) as peer:
        yield peer


@asynccontextmanager
async def keystone_swift_peer(request: pytest.FixtureRequest, _: Path) -> AsyncIterator[SwiftPeer]:
    """The same with Keystone's accounts; rows that name the reference."""
    async with opened(request.getfixturevalue("keystone_swift"), **_SIZES) as peer:
        yield peer
