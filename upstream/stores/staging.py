"""Data on their way into a store: one file per image, in a folder that several processes may share."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path, PurePosixPath

import structlog

from upstream.errors import DataNotFound
from upstream.stores import file
from upstream.stores.file import FileStoreConfig
from upstream.stores.locations import file_url
from upstream.stores.reworks import Rework
from upstream.types import Location

log = structlog.get_logger()

SERVICE = "os_glance_staging_store"
KEY = "api.staging_dir"


class Staging:
    """Safe to use from many tasks at once. Raises StoreFull, Denied, Unavailable, and what each call says."""

    def __init__(self, folder: Path, store: file.FileStore) -> None:
        self._folder, self._store = folder, store

    async def write(self, image_id: str, chunks: AsyncIterator[bytes], size_bytes: int | None) -> int:
        """Keep all data and give their length. Raises Duplicate if there are some; else as `Writable.write`."""
        return (await self._store.write(image_id, chunks, size_bytes)).size_bytes

    def read(self, image_id: str) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Raises DataNotFound on entering."""
        return self._store.read(self._location(image_id))

    async def size(self, image_id: str) -> int:
        """Raises DataNotFound."""
        return await self._store.size(self._location(image_id))

    @asynccontextmanager
    async def reworked(self, image_id: str) -> AsyncIterator[Rework]:
        """What is written to `target` takes the place of the data, if `is_wanted` says so on leaving without an error.

        Raises DataNotFound.
        """
        await self.size(image_id)
        rework = Rework(SERVICE, self._folder, image_id)
        try:
            await asyncio.to_thread(rework.open)
            yield rework
            if rework.is_wanted:
                await asyncio.to_thread(rework.publish)
        finally:
            await asyncio.shield(asyncio.to_thread(rework.close))

    async def remove(self, image_id: str) -> None:
        """That there are none is no error."""
        try:
            await self._store.delete(self._location(image_id))
        except DataNotFound:
            return

    async def clean(self, is_wanted: Callable[[str], Awaitable[bool]]) -> int:
        """Remove the data of images that nobody wants any more; gives their number."""
        removed = 0
        for image_id in await self._store.names():
            if not await is_wanted(image_id):
                await self.remove(image_id)
                removed += 1
        if removed:
            log.info("staging.cleaned", images=removed)
        return removed

    def _location(self, image_id: str) -> Location:
        return Location(url=file_url(PurePosixPath(self._folder), image_id))


@asynccontextmanager
async def open_staging(folder: Path) -> AsyncIterator[Staging]:
    """Make the folder if there is none, and remove what killed processes were writing. Raises Denied."""
    folder = await asyncio.to_thread(folder.absolute)
    store = await file.open_store(SERVICE, FileStoreConfig(kind="file", dir=folder, file_mode=0o600), key=KEY)
    try:
        yield Staging(folder, store)
    finally:
        await store.close()
