"""What a download reads from: a whole entry, a growing file, a local file, or the source itself."""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass

from cache.errors import DigestMismatch, WrongSize
from cache.fill import limit_idle
from cache.progress import Progress
from cache.threads import in_thread
from cache.types import Blob, Digest, Outcome, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """One client's view of one blob. With an `fd`, its bytes below `beyond(…)` can be sent by descriptor.

    Without one (`Outcome.BYPASS`), or after DiskFailed, `direct` reads the source past the cache. The descriptor is
    the lender's: it is valid inside the context that gave the reader.
    """

    blob: Blob
    outcome: Outcome
    workers: ThreadPoolExecutor
    idle_s: float
    fd: int | None = None
    progress: Progress | None = None
    source: Source | None = None

    async def beyond(self, offset: int) -> int:
        """Wait until there is a byte at `offset`; return where the readable part ends. Raises what failed the fill."""
        assert self.blob.size_bytes is not None
        return self.blob.size_bytes if self.progress is None else await self.progress.beyond(offset)

    @asynccontextmanager
    async def direct(self, offset: int = 0) -> AsyncIterator[AsyncIterator[bytes]]:
        """The source's bytes from `offset` on, with the promises of a fill: whole, timely and, from 0 on, digested.

        Entering waits for the source's answer and raises its errors. Iterating raises WrongSize, Stalled and
        DigestMismatch, always before the last piece is given.
        """
        assert self.source is not None
        async with AsyncExitStack() as stack:
            source = await stack.enter_async_context(self.source(offset))
            timely = await stack.enter_async_context(aclosing(limit_idle(source, self.idle_s)))
            chunks = await stack.enter_async_context(aclosing(_exact(timely, self.blob, offset)))
            if offset == 0 and self.blob.digest is not None:
                digested = _digested(chunks, self.blob.key, self.blob.digest, self.workers)
                chunks = await stack.enter_async_context(aclosing(digested))
            yield chunks


async def _exact(chunks: AsyncIterator[bytes], blob: Blob, offset: int) -> AsyncGenerator[bytes]:
    """The same chunks, one late: raises WrongSize at an end that comes too early or not in time."""
    at = offset
    held = b""
    async for chunk in chunks:
        at += len(chunk)
        if blob.size_bytes is not None and at > blob.size_bytes:
            raise WrongSize(blob.key, blob.size_bytes, at)
        if held:
            yield held
        held = chunk
    if blob.size_bytes is not None and at != blob.size_bytes:
        raise WrongSize(blob.key, blob.size_bytes, at)
    if held:
        yield held


async def _digested(
    chunks: AsyncIterator[bytes], key: str, digest: Digest, workers: ThreadPoolExecutor
) -> AsyncGenerator[bytes]:
    """The same chunks, one late, so that the last one leaves only when the digest is right."""
    state = hashlib.new(digest.algorithm, usedforsecurity=False)
    held = b""
    async for chunk in chunks:
        if held:
            yield held
        await in_thread(workers, state.update, chunk)
        held = chunk
    if state.hexdigest() != digest.value:
        raise DigestMismatch(key, digest.algorithm, digest.value, state.hexdigest())
    if held:
        yield held
