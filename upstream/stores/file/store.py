"""Images as files of folders. What blocks runs in a bounded pool of threads, and is told in the modules beside."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager
from pathlib import Path, PurePosixPath
from typing import ParamSpec, TypeVar

import structlog

from upstream.errors import Denied, Unproved, WrongLength
from upstream.stores.base import Stored, Witness
from upstream.stores.file.config import READ_BYTES, FileStoreConfig
from upstream.stores.file.files import Folder, Whole
from upstream.stores.file.folders import Folders
from upstream.stores.file.metadata import Mounts, mount_of, read_mounts
from upstream.stores.file.parts import How, Part
from upstream.stores.locations import file_url, kind_of, parse_file
from upstream.types import Location

log = structlog.get_logger()

_GATHER_BYTES = 1024 * 1024  # small chunks are written together: a call into the pool costs as much as 100 KiB
_GATHER_CHUNKS = 512  # a writev takes at most 1024
_P = ParamSpec("_P")
_T = TypeVar("_T")


class FileStore:
    """See `Store`, `Writable` and `HasPath`, all of which it is."""

    def __init__(
        self, store_id: str, how: How, folders: Folders, pool: ThreadPoolExecutor, mounts: Mounts = ()
    ) -> None:
        self._id, self._how, self._folders, self._pool, self._mounts = store_id, how, folders, pool, mounts

    async def path(self, location: Location, size_bytes: int | None = None) -> Path:
        path, found_bytes = await self._run(self._folders.find, parse_file(location.url))
        if size_bytes not in {None, found_bytes}:
            raise WrongLength(size_bytes or 0, found_bytes)
        return path

    async def size(self, location: Location) -> int:
        _, size_bytes = await self._run(self._folders.find, parse_file(location.url))
        return size_bytes

    @asynccontextmanager
    async def read(
        self, location: Location, offset: int = 0, stop: int | None = None, witness: Witness | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        whole = Whole(self._folders, parse_file(location.url))
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
        part = Part(self._folders, image_id, self._how)
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
        return Stored(location=self._location(part.folder, image_id), size_bytes=part.size_bytes)

    def _location(self, folder: Folder, image_id: str) -> Location:
        path = PurePosixPath(folder.dir)
        metadata = {**mount_of(self._mounts, path / image_id), "store": self._id}
        return Location(url=file_url(path, image_id), metadata=metadata)

    async def delete(self, location: Location) -> None:
        await self._run(self._folders.remove, parse_file(location.url))

    async def remove_leftover(self, image_id: str, kept: Collection[Location]) -> None:
        """See `Writable.remove_leftover`."""
        paths = [parse_file(location.url) for location in kept if kind_of(location.url) == "file"]
        await self._run(self._folders.remove_leftover, image_id, paths)

    async def names(self) -> list[str]:
        """The ids of all images whose data are here."""
        return await self._run(self._folders.names)

    async def close(self) -> None:
        await asyncio.to_thread(self._pool.shutdown)

    async def _run(self, call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        future: Future[_T] = self._pool.submit(call, *args, **kwargs)
        return await asyncio.wrap_future(future)


async def open_store(store_id: str, config: FileStoreConfig, *, key: str | None = None) -> FileStore:
    """Make the folders that are not there, and remove what killed processes left in them.

    `key` is where they stand in the configuration. Raises Denied, and Invalid for a metadata file that is none, both in
    words for operators.
    """
    key = key or f"stores.backends.{store_id}"
    pool = ThreadPoolExecutor(config.threads_max, thread_name_prefix=f"store-{store_id}")
    all_folders = [Folder(store_id, folder.path.absolute(), folder.priority) for folder in config.folders]
    folders = Folders(store_id, all_folders, config.free_min)

    def prepare() -> tuple[int, Mounts]:
        file = config.metadata_file
        file_mode = None if config.read_only else config.file_mode
        try:
            removed = folders.prepare(config.dir_mode, file_mode)
        except Denied as error:
            raise Denied(f"{key}: {error}") from error
        return removed, read_mounts(f"{key}.metadata_file", file) if file else ()

    try:
        removed, mounts = await asyncio.wrap_future(pool.submit(prepare))
    except BaseException:
        await asyncio.to_thread(pool.shutdown)
        raise
    if removed:
        log.info("store.leftovers_removed", store=store_id, files=removed)
    how = How(mode=config.file_mode, is_thin=config.thin_provisioning)
    return FileStore(store_id, how, folders, pool, mounts)
