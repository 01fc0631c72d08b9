"""A real Ceph."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.contract.stores.peers.peer import arriving
from tests.origin import Content
from tests.peers import Ceph
from upstream.stores import RbdStoreConfig
from upstream.stores.rbd.store import RbdStore, open_store
from upstream.stores.rbd.uris import rbd_url
from upstream.types import Location


class RbdPeer:
    """Tests share the pool: each finds it empty, and leaves it so."""

    def __init__(self, store: RbdStore, ceph: Ceph) -> None:
        self.store, self.ceph = store, ceph

    async def put(self, name: str, content: Content) -> Location:
        return (await self.store.write(name, arriving(content), content.size_bytes)).location

    async def replace(self, name: str, content: Content) -> None:
        await self.store.delete(self.location(name))
        await self.put(name, content)

    def location(self, name: str) -> Location:
        return Location(url=rbd_url(self.ceph.fsid, self.ceph.pool, name, "snap"))

    def missing(self) -> Location:
        return self.location("nothing-here")

    async def names(self) -> list[str]:
        return await asyncio.to_thread(self._names)

    def _names(self) -> list[str]:
        cluster = self.store._cluster  # its connection, as another one and the command cost ten times more
        pool = cluster.pool()
        try:
            return sorted(cluster.rbd.RBD().list(pool.ioctx))
        finally:
            pool.close()

    async def rbd(self, *arguments: str) -> str:
        return await asyncio.to_thread(self.ceph.rbd, *arguments)

    async def clear(self) -> None:
        async with asyncio.TaskGroup() as group:
            for name in await self.names():
                group.create_task(self.store.delete(self.location(name)))


@asynccontextmanager
async def opened(ceph: Ceph, **keys: Any) -> AsyncIterator[RbdPeer]:
    known = {"kind": "rbd", "ceph_conf": ceph.config, "user": ceph.user, "threads_max": 8, "description": "Ceph"}
    store = await open_store("local", RbdStoreConfig.model_validate({**known, **keys}))
    peer = RbdPeer(store, ceph)
    try:
        yield peer
    finally:
        await peer.clear()
        await store.close()


@asynccontextmanager
async def rbd_peer(request: pytest.FixtureRequest, _: Path) -> AsyncIterator[RbdPeer]:
    """In objects of 1 MiB, so that a few MiB are many."""
    async with opened(request.getfixturevalue("ceph"), chunk_size="1 MiB") as peer:
        yield peer
