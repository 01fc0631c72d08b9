"""A folder of files."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.contract.stores.peers.peer import arriving
from tests.origin import Content
from upstream.stores import FileStoreConfig
from upstream.stores.file import FileStore, open_store
from upstream.types import Location


class FilePeer:
    def __init__(self, store: FileStore, folder: Path) -> None:
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


@asynccontextmanager
async def file_peer(_: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[FilePeer]:
    folder = tmp_path / "images"
    store = await open_store("local", FileStoreConfig(kind="file", dir=folder, threads_max=4))
    try:
        yield FilePeer(store, folder)
    finally:
        await store.close()
