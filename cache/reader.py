"""What a download reads from: a whole entry, a growing file, a local file, or the source itself."""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass

from cache.errors import DigestMismatch, FillFailed, WrongSize
from cache.flight import Flight
from cache.progress import HELD_BACK_BYTES
from cache.resume import limit_idle, resuming
from cache.threads import in_thread
from cache.types import Blob, Digest, Outcome, Source, Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """One client's view of one blob. If it `has_file`, its bytes below `beyond(…)` can be sent by `fd`.

    Otherwise, and whenever the cache's file fails it, `direct` reads the source past the cache. The descriptor is the
    lender's: it is valid inside the context that gave the reader, and its number stays when the file is changed.
    """

    blob: Blob
    outcome: Outcome
    hashing: ThreadPoolExecutor
    idle_s: float
    source: Source | None = None
    flight: Flight | None = None
    local_fd: int | None = None
    stop: int | None = None
    drop_behind_min_bytes: int | None = None
    resumed: Callable[[Exception], None] = lambda _: None
    spoilt: Callable[[Flight], None] = lambda _: None

    @property
    def has_file(self) -> bool:
        return self.local_fd is not None or self.flight is not None

    @property
    def fd(self) -> int:
        fd = self.local_fd if self.flight is None else self.flight.fd
        assert fd is not None
        return fd

    async def beyond(self, offset: int, *, has_begun: bool = True) -> int:
        """Wait until there is a byte at `offset`; return where the readable part ends. Raises what failed the fill.

        Unless the client `has_begun` to receive, it raises HeldUp when the fill has to wait for its disk.
        """
        assert self.blob.size_bytes is not None
        if self.flight is None:
            return self.blob.size_bytes
        stop = await self.flight.progress.beyond(offset, has_begun=has_begun)
        if stop < self.blob.size_bytes:
            return stop
        # The end waits for a last look: an entry may have been found damaged while it was sent.
        if offset < (held_from := self.blob.size_bytes - HELD_BACK_BYTES):
            return held_from
        if self.flight.is_condemned:
            raise FillFailed(f"{self.blob.key} was found damaged while it was sent")
        return stop

    @property
    def can_go_direct(self) -> bool:
        """Whether there is anything to read past the cache."""
        return self.source is not None

    def distrust_file(self) -> None:
        """The file gave an error, or less than it promised: nobody else shall begin to read it."""
        if self.flight is not None:
            self.spoilt(self.flight)

    def drops_behind(self) -> bool:
        """Whether what was sent need not stay in memory: of a large image that nobody else here reads."""
        flight, least = self.flight, self.drop_behind_min_bytes
        return flight is not None and least is not None and flight.size_bytes >= least and flight.readers == 1

    @asynccontextmanager
    async def direct(self, offset: int = 0) -> AsyncIterator[AsyncIterator[bytes]]:
        """The source's bytes from `offset` on, with the promises of a fill: whole, timely and, from 0 on, digested.

        Where only a part is wanted, only that is asked for. A source that breaks is read on elsewhere, or again.
        Entering waits for the source's answer and raises its errors. Iterating raises WrongSize, Stalled and
        DigestMismatch, always before the last piece is given.
        """
        assert self.source is not None
        size_bytes = self.blob.size_bytes
        async with AsyncExitStack() as stack:
            if size_bytes is None:
                opened = await stack.enter_async_context(self.source(offset))
                chunks: AsyncIterator[bytes] = await stack.enter_async_context(
                    aclosing(limit_idle(opened, self.idle_s))
                )
            else:
                stop = size_bytes if self.stop is None else self.stop
                chunks = await stack.enter_async_context(
                    resuming(
                        self.source,
                        self.blob.key,
                        Span(offset, stop),
                        is_to_end=stop == size_bytes,
                        idle_s=self.idle_s,
                        resumed=self.resumed,
                    )
                )
                chunks = await stack.enter_async_context(aclosing(_exact(chunks, self.blob.key, offset, stop)))
            if offset == 0 and self.blob.digest is not None and self.stop in {None, size_bytes}:
                digested = _digested(chunks, self.blob.key, self.blob.digest, self.hashing)
                chunks = await stack.enter_async_context(aclosing(digested))
            yield chunks


async def _exact(chunks: AsyncIterator[bytes], key: str, offset: int, stop: int) -> AsyncGenerator[bytes]:
    """The same chunks, one late: raises WrongSize at an end that comes too early or not in time."""
    at = offset
    held = b""
    async for chunk in chunks:
        at += len(chunk)
        if at > stop:
            raise WrongSize(key, stop, at)
        if held:
            yield held
        held = chunk
    if at != stop:
        raise WrongSize(key, stop, at)
    if held:
        yield held


async def _digested(
    chunks: AsyncIterator[bytes], key: str, digest: Digest, hashing: ThreadPoolExecutor
) -> AsyncGenerator[bytes]:
    """The same chunks, one late, so that the last one leaves only when the digest is right."""
    state = hashlib.new(digest.algorithm, usedforsecurity=False)
    held = b""
    async for chunk in chunks:
        if held:
            yield held
        await in_thread(hashing, state.update, chunk)
        held = chunk
    if state.hexdigest() != digest.value:
        raise DigestMismatch(key, digest.algorithm, digest.value, state.hexdigest())
    if held:
        yield held
