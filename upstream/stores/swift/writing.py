"""One upload: an object, or segments and the manifest that names them, as glance_store makes them. All or nothing.

A large image is claimed by its manifest, which is written first, and only if there is none. What names no image is read
by nobody, and two who upload the same image at once cannot mix their segments. Each writer marks what it claims, and
removes after a failure only what bears its mark.
"""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Mapping
from concurrent.futures import Executor
from contextlib import suppress
from functools import partial
from typing import TypeVar

import structlog

from upstream.errors import DataNotFound, Denied, Duplicate, Unavailable, UpstreamError
from upstream.stores.swift.budget import Budget
from upstream.stores.swift.client import Client, Place
from upstream.stores.swift.config import PARTS_MAX, SwiftStoreConfig
from upstream.stores.swift.lanes import Lane, send_all
from upstream.stores.swift.urls import is_segment, segment_name

log = structlog.get_logger()

_MARK = "X-Object-Meta-Glint-Write"
_DELETES_MAX = 8
_UNDO_S = 120.0
_PAUSES_S = (0.1, 0.5)
_LOOK_AGAIN_S = 0.05
_T = TypeVar("_T")


class Writer:
    """Uploads to one store. Safe to use from many tasks at once, which share its memory."""

    def __init__(self, store_id: str, config: SwiftStoreConfig, client: Client, pool: Executor) -> None:
        self._id, self._config, self._client, self._pool = store_id, config, client, pool
        self._budget = Budget(config.write_buffer_max)
        self._containers: set[str] = set()

    async def write(self, place: Place, chunks: AsyncIterator[bytes], size_bytes: int | None) -> int:
        """See `Writable.write`; gives the bytes that were written."""
        await self._ensure_container(place)
        upload = _Upload(self._id, self._config, self._client, self._budget, self._pool, place)
        is_large = size_bytes is None or size_bytes >= self._config.large_object_size
        try:
            return await (upload.segments(chunks) if is_large else upload.whole(chunks))
        except BaseException:
            if upload.misses_container:
                self._containers.discard(place.container)
            await _to_its_end(upload.undo())
            raise

    async def _ensure_container(self, place: Place) -> None:
        """Asked once; a container that is removed later is noticed by the upload that fails."""
        if place.container in self._containers:
            return
        if await self._client.head(place.sibling("")) is None:
            if not self._config.create_container:
                raise Denied(f"{self._id} has no container {place.container}, and create_container is off")
            await self._client.put(place.sibling(""), {})
            log.info("store.container_created", store=self._id, container=place.container)
        self._containers.add(place.container)


class _Upload:
    def __init__(
        self, store_id: str, config: SwiftStoreConfig, client: Client, budget: Budget, pool: Executor, place: Place
    ) -> None:
        self._id, self._config, self._client, self._place = store_id, config, client, place
        self._budget, self._pool = budget, pool
        self._mark = secrets.token_hex(16)
        self._is_claimed = False
        self.misses_container = False
        self._etags: dict[int, str] = {}
        self._begun: list[str] = []  # segments

    async def whole(self, chunks: AsyncIterator[bytes]) -> int:
        """As one object."""
        if await self._client.head(self._place) is not None:
            raise Duplicate(f"{self._id} already has data of that image")
        self._is_claimed = True
        headers = {_MARK: self._mark, "If-None-Match": "*", "Content-Type": "application/octet-stream"}

        async def send(lane: Lane) -> None:
            await self._send(self._place, lane, headers)

        return await send_all(chunks, send, object_max=None, lanes_max=1, budget=self._budget, pool=self._pool)

    async def segments(self, chunks: AsyncIterator[bytes]) -> int:
        """As a dynamic large object."""
        await self._claim()
        total_bytes = await send_all(
            chunks,
            self._send_segment,
            object_max=self._config.large_object_chunk_size,
            lanes_max=self._config.writes_max,
            budget=self._budget,
            pool=self._pool,
        )
        await self._settled(total_bytes)
        return total_bytes

    async def undo(self) -> None:
        """Remove what was written. A request that is still under way at the server is older than ours, and loses."""
        if not self._is_claimed:
            return
        try:
            async with asyncio.timeout(_UNDO_S):
                await remove_all(self._client, self._place, self._begun)
                found = await _insisted(partial(self._client.head, self._place))
                if found is None or found.get(_MARK) == self._mark:
                    await _insisted(partial(self._client.delete, self._place))
        except (UpstreamError, TimeoutError) as error:
            log.error("store.data_left", store=self._id, image=self._place.name, error=type(error).__name__)

    async def _claim(self) -> None:
        manifest = f"{self._place.path}-"
        headers = {"X-Object-Manifest": manifest, _MARK: self._mark, "If-None-Match": "*"}
        self._is_claimed = True
        with suppress(Duplicate):  # it may be ours, if the answer was lost and aiohttp has asked again
            await self._put(self._place, {**headers, "Content-Type": "application/octet-stream"})
        await self._look_at_mark()
        left = [
            name for name in await self._client.names(self._place, f"{self._place.name}-") if self._is_segment(name)
        ]
        if left:
            log.warning("store.leftover_removed", store=self._id, image=self._place.name, segments=len(left))
            await remove_all(self._client, self._place, left)

    def _is_segment(self, name: str) -> bool:
        return is_segment(name, self._place.name)

    async def _look_at_mark(self) -> Mapping[str, str]:
        """The manifest's headers. Raises Duplicate if it is another writer's by now: then all there is is theirs."""
        found = await self._client.head(self._place)
        if found is None or found.get(_MARK) != self._mark:
            self._is_claimed = False
            raise Duplicate(f"{self._id} gets data of that image from somebody else")
        return found

    async def _send_segment(self, lane: Lane) -> None:
        name = segment_name(self._place.name, lane.number)
        self._begun.append(name)
        self._etags[lane.number] = await self._send(self._place.sibling(name), lane, {})

    async def _send(self, place: Place, lane: Lane, headers: Mapping[str, str]) -> str:
        etag = await self._put(place, headers, lane)
        if etag != await lane.digest():
            raise Unavailable(self._id, "what it has kept is not what was sent")
        return etag

    async def _put(self, place: Place, headers: Mapping[str, str], lane: Lane | None = None) -> str:
        try:
            return await self._client.put(place, headers, lane)
        except DataNotFound as error:
            self.misses_container = True
            raise Unavailable(self._id, f"its container {place.container} is gone") from error

    async def _settled(self, total_bytes: int) -> None:
        """Wait until the manifest shows exactly what was sent: Swift's listings, by which it finds them, may lag."""
        together = "".join(etag for _, etag in sorted(self._etags.items())).encode()
        expected = hashlib.md5(together, usedforsecurity=False).hexdigest()
        pause_s, left_s = _LOOK_AGAIN_S, self._config.first_byte_s
        while True:
            found = await self._look_at_mark()
            length, etag = found.get("Content-Length"), found.get("ETag", "").strip('"').lower()
            if len(self._etags) >= PARTS_MAX or (length == str(total_bytes) and etag == expected):
                return
            if left_s <= 0:
                break
            await asyncio.sleep(pause_s)
            pause_s, left_s = min(2 * pause_s, 2.0), left_s - pause_s
        if length is not None and length.isdecimal() and int(length) < total_bytes:
            log.warning("store.listing_lags", store=self._id, image=self._place.name, segments=len(self._etags))
            return
        raise Unavailable(self._id, "the large object is not what was sent")


async def remove_all(client: Client, place: Place, names: Collection[str]) -> None:
    """Several at once; those that are gone are no error. Raises the error of the first that could not be removed."""
    free = asyncio.Semaphore(_DELETES_MAX)
    failed: list[UpstreamError] = []

    async def remove(name: str) -> None:
        async with free:
            try:
                await _insisted(partial(client.delete, place.sibling(name)))
            except UpstreamError as error:
                failed.append(error)

    async with asyncio.TaskGroup() as group:
        for name in names:
            group.create_task(remove(name))
    if failed:
        raise failed[0]


async def _insisted(ask: Callable[[], Awaitable[_T]]) -> _T:
    """Again after a failure that may pass."""
    for pause_s in _PAUSES_S:
        with suppress(Unavailable):
            return await ask()
        await asyncio.sleep(pause_s)
    return await ask()


async def _to_its_end(work: Coroutine[None, None, None]) -> None:
    """Also when the caller is cancelled meanwhile."""
    ended = asyncio.Event()

    async def working() -> None:
        try:
            await work
        finally:
            ended.set()

    try:
        await asyncio.shield(working())
    except asyncio.CancelledError:
        while not ended.is_set():
            with suppress(asyncio.CancelledError):
                await ended.wait()
        raise
