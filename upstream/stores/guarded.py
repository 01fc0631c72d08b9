"""Around every store: how many at once, how long it took, and no error that is not ours."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from pathlib import Path

import structlog

from metrics import Instruments
from upstream.errors import NotSupported, Unavailable, UpstreamError
from upstream.stores.base import HasPath, Store, Stored, Witness, Writable
from upstream.types import Location

log = structlog.get_logger()


class Guarded:
    """A store with a limit, metrics and a safety net. What the inner store cannot do raises NotSupported."""

    def __init__(
        self, store_id: str, inner: Store, instruments: Instruments, *, requests_max: int, wait_s: float
    ) -> None:
        self.id, self._inner, self._instruments, self._wait_s = store_id, inner, instruments, wait_s
        self._free = asyncio.Semaphore(requests_max)

    @property
    def has_path(self) -> bool:
        return isinstance(self._inner, HasPath)

    @asynccontextmanager
    async def read(
        self, location: Location, offset: int = 0, stop: int | None = None, witness: Witness | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """A slot is held until the context is left."""
        async with AsyncExitStack() as stack:
            with self._watched("read"):
                await stack.enter_async_context(self._slot())
                began = time.monotonic()
                chunks = await stack.enter_async_context(self._inner.read(location, offset, stop, witness))
                self._instruments.store_reads.labels(self.id).inc()
            yield await stack.enter_async_context(aclosing(self._counted(chunks, began)))

    async def _counted(self, chunks: AsyncIterator[bytes], began: float) -> AsyncGenerator[bytes]:
        is_first = True
        while True:
            with self._watched("read"):
                chunk = await anext(chunks, None)
            if is_first:
                self._observe("read", began)
                is_first = False
            if chunk is None:
                return
            yield chunk

    async def size(self, location: Location) -> int:
        async with self._asked("size"):
            return await self._inner.size(location)

    async def path(self, location: Location, size_bytes: int | None = None) -> Path:
        """Not limited: no request goes anywhere, and hot downloads begin with it."""
        if not isinstance(self._inner, HasPath):
            raise NotSupported(f"{self.id} has no local files")
        return await self._inner.path(location, size_bytes)

    async def write(self, image_id: str, chunks: AsyncIterator[bytes], size_bytes: int | None) -> Stored:
        if not isinstance(self._inner, Writable):
            raise NotSupported(f"{self.id} takes no uploads")
        given = _Given(chunks)
        async with self._asked("write", given):
            return await self._inner.write(image_id, given, size_bytes)

    async def delete(self, location: Location) -> None:
        if not isinstance(self._inner, Writable):
            raise NotSupported(f"{self.id} deletes nothing")
        async with self._asked("delete"):
            await self._inner.delete(location)

    async def remove_leftover(self, image_id: str, kept: Collection[Location]) -> None:
        """A store that takes no uploads has none."""
        if isinstance(self._inner, Writable):
            async with self._asked("remove_leftover"):
                await self._inner.remove_leftover(image_id, kept)

    async def close(self) -> None:
        await self._inner.close()

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._wait_s):
                await self._free.acquire()
        except TimeoutError as error:
            raise Unavailable(self.id, "too many requests wait for it") from error
        try:
            yield
        finally:
            self._free.release()

    @asynccontextmanager
    async def _asked(self, operation: str, given: "_Given | None" = None) -> AsyncIterator[None]:
        with self._watched(operation, given):
            async with self._slot():
                began = time.monotonic()
                yield
                self._observe(operation, began)

    @contextmanager
    def _watched(self, operation: str, given: "_Given | None" = None) -> Iterator[None]:
        """Count errors; one that no store should raise becomes Unavailable. What the caller's data raised passes."""
        try:
            yield
        except UpstreamError as error:
            if given is None or error is not given.error:
                self._count(operation, error)
            raise
        except Exception as error:
            if given is not None and error is given.error:
                raise
            self._count(operation, error)
            log.warning("store.failed", store=self.id, operation=operation, error=type(error).__name__)
            raise Unavailable(self.id, type(error).__name__) from error

    def _observe(self, operation: str, began: float) -> None:
        self._instruments.store_seconds.labels(self.id, operation).observe(time.monotonic() - began)

    def _count(self, operation: str, error: Exception) -> None:
        self._instruments.store_errors.labels(self.id, operation, type(error).__name__).inc()


class _Given:
    """The caller's chunks; remembers the error they ended with, which is not the store's."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self.error: Exception | None = None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self._chunks)
        except StopAsyncIteration:
            raise
        except Exception as error:
            self.error = error
            raise
