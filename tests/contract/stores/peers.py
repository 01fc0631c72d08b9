"""The stores under contract, each with a way to put data into it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol

from tests.origin import Content, Origin
from upstream.stores import FileStoreConfig, HttpStoreConfig, Store, Witness, Writable, file, http
from upstream.types import Location


class Peer(Protocol):
    """A store and its other side."""

    @property
    def store(self) -> Store: ...

    async def put(self, name: str, content: Content) -> Location: ...

    async def replace(self, name: str, content: Content) -> None:
        """Something else lies at the same location now."""

    def missing(self) -> Location: ...


class FilePeer:
    def __init__(self, store: file.FileStore, folder: Path) -> None:
        self.store, self._folder = store, folder

    async def put(self, name: str, content: Content) -> Location:
        return (await self.store.write(name, arriving(content), content.size_bytes)).location

    async def replace(self, name: str, content: Content) -> None:
        await asyncio.to_thread((self._folder / name).unlink)
        await self.put(name, content)

    def missing(self) -> Location:
        return Location(url=f"file://{self._folder}/nothing-here")

    async def names(self) -> list[str]:
        """Every name in the folder, hidden ones too."""
        return await asyncio.to_thread(lambda: sorted(path.name for path in self._folder.iterdir()))


class HttpPeer:
    def __init__(self, store: http.HttpStore, origin: Origin) -> None:
        self.store, self.origin = store, origin

    async def put(self, name: str, content: Content) -> Location:
        self.origin.add(name, content)
        return Location(url=self.origin.url(name))

    async def replace(self, name: str, content: Content) -> None:
        self.origin.add(name, content)

    def missing(self) -> Location:
        return Location(url=self.origin.url("nothing-here"))


async def arriving(content: Content) -> AsyncIterator[bytes]:
    """The content in pieces as a socket gives them."""
    for piece in content.pieces():
        for at in range(0, len(piece), 100_000):
            yield bytes(piece[at : at + 100_000])


async def read_whole(
    store: Store, location: Location, offset: int = 0, stop: int | None = None, witness: Witness | None = None
) -> bytes:
    async with store.read(location, offset, stop, witness) as chunks:
        return b"".join([chunk async for chunk in chunks])


@asynccontextmanager
async def file_peer(tmp_path: Path) -> AsyncIterator[FilePeer]:
    folder = tmp_path / "images"
    store = await file.open_store("local", FileStoreConfig(kind="file", dir=folder, threads_max=4))
    try:
        yield FilePeer(store, folder)
    finally:
        await store.close()


@asynccontextmanager
async def http_peer(tmp_path: Path) -> AsyncIterator[HttpPeer]:
    # A silent server is waited for 1 s at most, which is long on loopback and short for a test.
    # Nothing here is behind TLS, and to read the system's certificates for each test would take most of its time.
    config = HttpStoreConfig(kind="http", connect_s=0.5, first_byte_s=0.5, idle_s=1, verify_tls=False)
    with Origin() as origin:
        store = await http.open_store("web", config)
        try:
            yield HttpPeer(store, origin)
        finally:
            await store.close()


PEERS: dict[str, Callable[[Path], AbstractAsyncContextManager[Peer]]] = {"file": file_peer, "http": http_peer}
WRITABLE: dict[str, Callable[[Path], AbstractAsyncContextManager[FilePeer]]] = {"file": file_peer}

__all__ = ["PEERS", "WRITABLE", "FilePeer", "HttpPeer", "Peer", "Writable", "arriving", "http_peer", "read_whole"]
