"""Images in a Ceph. Every call into its libraries runs in a thread, and none is waited for without a bound."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Collection
from contextlib import aclosing, asynccontextmanager, suppress
from functools import partial

import structlog

from upstream.errors import DataNotFound, Invalid, Unavailable, Unproved, UpstreamError, WrongLength
from upstream.stores.base import Stored, Witness
from upstream.stores.rbd.cluster import Cluster
from upstream.stores.rbd.config import RbdStoreConfig
from upstream.stores.rbd.images import SNAPSHOT, Opened, create_image, remove_image, seal_image
from upstream.stores.rbd.reading import READ_BYTES, Reading
from upstream.stores.rbd.threads import Call, Threads
from upstream.stores.rbd.uris import RbdTarget, parse_rbd, rbd_url
from upstream.stores.rbd.writing import Writing
from upstream.types import Location

log = structlog.get_logger()

_AHEAD = 4  # reads of one reader at once
_AHEAD_MAX_BYTES = 32 * 1024 * 1024  # of all readers, besides the read that each is waiting for


class RbdStore:
    """See `Store` and `Writable`, both of which it is."""

    def __init__(self, store_id: str, config: RbdStoreConfig, cluster: Cluster, threads: Threads) -> None:
        self._id, self._config, self._cluster, self._threads = store_id, config, cluster, threads
        self._ahead_bytes = 0

    async def size(self, location: Location) -> int:
        reading = await self._open(parse_rbd(location.url))
        self._threads.later(reading.close)
        return reading.size_bytes

    @asynccontextmanager
    async def read(
        self, location: Location, offset: int = 0, stop: int | None = None, witness: Witness | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        reading = await self._open(parse_rbd(location.url))
        try:
            end = reading.size_bytes if stop is None else stop
            if max(offset, end) > reading.size_bytes:
                raise WrongLength(max(offset, end), reading.size_bytes)
            self._compare(witness or Witness(), reading, offset)
            async with aclosing(self._chunks(reading, offset, end)) as chunks:
                yield chunks
        finally:
            self._threads.later(reading.close)

    async def _open(self, target: RbdTarget) -> Reading:
        return await self._threads.run(partial(Reading, self._cluster, target), Reading.close)

    def _compare(self, witness: Witness, reading: Reading, offset: int) -> None:
        witness.check_size(reading.size_bytes)
        if offset and witness.seen not in (None, reading.identity):
            raise Unproved(self._id, "the image was replaced since its first part was read")
        witness.seen = reading.identity

    async def _chunks(self, reading: Reading, at: int, end: int) -> AsyncGenerator[bytes]:
        """Reads end where objects may, so that each asks as few as it can."""
        reads: deque[tuple[Call[bytes], int]] = deque()
        try:
            while at < end or reads:
                while at < end and len(reads) < _AHEAD:
                    stop = min(end, at + READ_BYTES - at % READ_BYTES)
                    begun = await self._begin(partial(reading.read, at, stop), stop - at if reads else 0)
                    if begun is None:
                        break
                    reads.append(begun)
                    at = stop
                read, ahead_bytes = reads.popleft()
                self._ahead_bytes -= ahead_bytes
                yield await self._threads.wait(read)
        finally:
            for read, ahead_bytes in reads:
                self._ahead_bytes -= ahead_bytes
                self._threads.give_up(read)

    async def _begin(self, call: "partial[bytes]", ahead_bytes: int) -> tuple[Call[bytes], int] | None:
        """None where a read ahead would take what others need more: a thread, or memory."""
        if not ahead_bytes:
            return await self._threads.begin(call), 0
        if self._ahead_bytes + ahead_bytes > _AHEAD_MAX_BYTES:
            return None
        begun = await self._threads.begin_if_free(call)
        if begun is None:
            return None
        self._ahead_bytes += ahead_bytes
        return begun, ahead_bytes

    async def write(self, image_id: str, chunks: AsyncIterator[bytes], size_bytes: int | None) -> Stored:
        size_hint = size_bytes or 0
        opened = await self._threads.run(
            partial(create_image, self._cluster, image_id, size_hint), partial(self._abandon, image_id)
        )
        writing = Writing(
            self._threads,
            opened,
            chunk_bytes=self._config.chunk_size,
            size_bytes=size_hint,
            keeps_holes=self._config.thin_provisioning,
        )
        try:
            await writing.take(chunks)
            await self._threads.run(partial(_finish, opened, writing.written_bytes))
        except BaseException:
            await self._abandoned(image_id, opened)
            raise
        url = rbd_url(opened.fsid, self._config.pool, image_id, SNAPSHOT)
        return Stored(location=Location(url=url, metadata={"store": self._id}), size_bytes=writing.written_bytes)

    async def _abandoned(self, image_id: str, opened: Opened) -> None:
        """Waiting does not hand a second cancellation to the thread: what was begun is undone in any case."""
        call = self._threads.clean(partial(self._abandon, image_id, opened))
        await asyncio.wait([call.done], timeout=self._config.call_s)

    def _abandon(self, image_id: str, opened: Opened) -> None:
        """In a thread: remove what a write left that did not come to its end."""
        try:
            if not opened.close_and_wait(self._config.call_s):
                raise Unavailable(self._id, "a write to the image did not return")
            remove_image(self._cluster, RbdTarget(image=image_id, snapshot=SNAPSHOT), lambda: None)
        except DataNotFound:
            pass
        except UpstreamError as error:
            log.warning("store.leftover", store=self._id, image=image_id, error=type(error).__name__, reason=str(error))

    async def delete(self, location: Location) -> None:
        await self._remove(parse_rbd(location.url))

    async def _remove(self, target: RbdTarget) -> None:
        """A long one is waited for as long as it goes on."""
        calls: list[Call[None]] = []
        call = await self._threads.begin(
            partial(remove_image, self._cluster, target, lambda: calls[0].alive() if calls else None)
        )
        calls.append(call)
        await self._threads.wait(call)

    async def remove_leftover(self, image_id: str, kept: Collection[Location]) -> None:
        if any(self._is_of(image_id, location) for location in kept):
            return
        with suppress(DataNotFound):
            await self._remove(RbdTarget(image=image_id, snapshot=SNAPSHOT))

    def _is_of(self, image_id: str, location: Location) -> bool:
        """Whether this may be the image of that name in our pool, in whichever cluster."""
        try:
            target = parse_rbd(location.url)
        except Invalid:
            return False
        return target.image == image_id and target.pool in {None, self._config.pool}

    async def close(self) -> None:
        self._threads.later(self._cluster.close)
        await self._threads.close()


def _finish(opened: Opened, size_bytes: int) -> None:
    """Closed when this returns: as long as it is open, the image cannot be deleted."""
    seal_image(opened, size_bytes)
    opened.close()


async def open_store(store_id: str, config: RbdStoreConfig) -> RbdStore:
    """Raises BindingsMissing. The cluster is not asked before the first image is."""
    cluster = await asyncio.to_thread(Cluster, store_id, config)  # loading the bindings reads files
    threads = Threads(store_id, threads_max=config.threads_max, patience_s=config.call_s)
    return RbdStore(store_id, config, cluster, threads)
