"""A folder of files."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pydantic import ByteSize

from tests.contract.stores.peers.peer import arriving
from tests.origin import Content
from upstream.stores.file import FileStore, FileStoreConfig, FolderConfig, open_store
from upstream.types import Location


class FilePeer:
    def __init__(self, store: FileStore, folders: Sequence[Path]) -> None:
        self.store, self._folders = store, folders

    async def put(self, name: str, content: Content) -> Location:
        return (await self.store.write(name, arriving(content), content.size_bytes)).location

    async def replace(self, name: str, content: Content) -> None:
        def remove() -> None:
            for folder in self._folders:
                (folder / name).unlink(missing_ok=True)

        await asyncio.to_thread(remove)
        await self.put(name, content)

    def missing(self) -> Location:
        return Location(url=f"file://{self._folders[-1]}/nothing-here")

    async def names(self) -> list[str]:
        """Every name in the folders, hidden ones too."""
        return await asyncio.to_thread(
            lambda: sorted(path.name for folder in self._folders for path in folder.iterdir())
        )


@asynccontextmanager
async def file_peer(_: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[FilePeer]:
    """One folder."""
    folder = tmp_path / "images"
    async with _opened([folder], FileStoreConfig(kind="file", dir=folder, threads_max=4)) as peer:
        yield peer


@asynccontextmanager
async def folders_peer(_: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[FilePeer]:
    """Several, with holes where the data are zeros."""
    folders = [tmp_path / "first", tmp_path / "second"]
    dirs = tuple(FolderConfig(path=folder) for folder in folders)
    config = FileStoreConfig(kind="file", dirs=dirs, thin_provisioning=True, free_min=ByteSize(1), threads_max=4)
    async with _opened(folders, config) as peer:
        yield peer


@asynccontextmanager
async def _opened(folders: Sequence[Path], config: FileStoreConfig) -> AsyncIterator[FilePeer]:
    store = await open_store("local", config)
    try:
        yield FilePeer(store, folders)
    finally:
        await store.close()
