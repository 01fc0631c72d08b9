"""Images as files of one folder. What blocks runs in a bounded pool of threads and is told in `files.py`."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import ParamSpec, TypeVar

import structlog

from upstream.errors import DataNotFound, Unproved, WrongLength
from upstream.stores.base import Stored, Witness
from upstream.stores.file.config import READ_BYTES, FileStoreConfig
from upstream.stores.file.files import Folder, Part, Whole
from upstream.stores.locations import file_url, parse_file
from upstream.types import Location

log = structlog.get_logger()

_GATHER_BYTES = 1024 * 1024  # small chunks are written together: a call into the pool costs as much as 100 KiB
_GATHER_CHUNKS = 512  # a writev takes at most 1024
_P = ParamSpec("_P")
_T = TypeVar("_T")


class FileStore:
    """See `Store`, `Writable` and `HasPath`, all of which it is."""

    def __init__(self, store_id: str, config: FileStoreConfig, folder: Folder, pool: ThreadPoolExecutor) -> None:
        self._id, self._config, self._folder, self._pool = store_id, config, folder, pool

    async def path(self, location: Location, size_bytes: int | None = None) -> Path:
        path, found_bytes = await self._run(self._folder.find, parse_file(location.url))
        if size_bytes not in {None, found_bytes}:
            raise WrongLength(size_bytes or 0, found_bytes)
        return path

    async def size(self, location: Location) -> int:
        _, size_bytes = await self._run(self._folder.find, parse_file(location.url))
        return size_bytes

    @asynccontextmanager
    async def read(
        self, location: Location, offset: int = 0, stop: int | None = None, witness: Witness | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        whole = Whole(self._folder, parse_file(location.url))
        try:
            size_bytes = await self._run(whole.open)
            end = size_bytes if stop is None else stop
            if max(offset, end) > size_bytes:
                raise WrongLength(max(offset, end), size_bytes)
            self._compare(witness or Witness(), whole, offset, size_bytes)
            async with aclosing(self._chunks(whole, offset, end)) as chunks:
                yield chunks
        finally:
            self._pool.submit(whole.close)  # not awaited, so not cancelled; a read that still runs is waited for there

    def _compare(self, witness: Witness, whole: Whole, offset: int, size_bytes: int) -> None:
        witness.check_size(size_bytes)
        if offset and witness.seen not in (None, whole.identity):
            raise Unproved(self._id, "the file changed since its first part was read")
        witness.seen = whole.identity

    async def _chunks(self, whole: Whole, at: int, end: int) -> AsyncGenerator[bytes]:
        while at < end:
            chunk = await self._run(whole.read, at, min(READ_BYTES, end - at))
            if not chunk:
                raise WrongLength(end, at)
            at += len(chunk)
            yield chunk

    async def write(self, image_id: str, chunks: AsyncIterator[bytes], size_bytes: int | None) -> Stored:
        """See `Writable.write`. The data is on disk, and its name too, when this returns."""
        part = Part(self._folder, image_id, self._config.file_mode)
        try:
            await self._run(part.open, size_bytes)
            gathered: list[bytes] = []
            pending_bytes = 0
            async for chunk in chunks:
                gathered.append(chunk)
                pending_bytes += len(chunk)
                if pending_bytes >= _GATHER_BYTES or len(gathered) >= _GATHER_CHUNKS:
                    await self._run(part.append, gathered)
                    gathered, pending_bytes = [], 0
            await self._run(part.append, gathered)
            await self._run(part.publish)
        except BaseException:
            # Waiting does not hand a second cancellation to the thread: what was begun is undone in any case.
            await asyncio.wait([asyncio.wrap_future(self._pool.submit(part.abandon))])
            raise
        return Stored(
            location=Location(url=self._url(image_id), metadata={"store": self._id}), size_bytes=part.size_bytes
        )

    async def delete(self, location: Location) -> None:
        await self._run(self._folder.remove, parse_file(location.url))

    async def remove_leftover(self, image_id: str, kept: Collection[Location]) -> None:
        """See `Writable.remove_leftover`."""
        url = self._url(image_id)
        if not any(location.url == url for location in kept):
            with suppress(DataNotFound):
                await self.delete(Location(url=url))

    async def names(self) -> list[str]:
        """The ids of all images whose data are here."""
        return await self._run(self._folder.names)

    async def close(self) -> None:
        await asyncio.to_thread(self._pool.shutdown)

    def _url(self, image_id: str) -> str:
        return file_url(PurePosixPath(self._folder.dir), image_id)

    async def _run(self, call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        future: Future[_T] = self._pool.submit(call, *args, **kwargs)
        return await asyncio.wrap_future(future)


async def open_store(store_id: str, config: FileStoreConfig) -> FileStore:
    """Make the folder if there is none, and remove what killed processes left in it."""
    pool = ThreadPoolExecutor(config.threads_max, thread_name_prefix=f"store-{store_id}")
    folder = Folder(store_id, config.dir.absolute())
    store = FileStore(store_id, config, folder, pool)
    try:
        removed = await asyncio.wrap_future(pool.submit(folder.prepare))
    except BaseException:
        await store.close()
        raise
    if removed:
        log.info("store.leftovers_removed", store=store_id, files=removed)
    return store
