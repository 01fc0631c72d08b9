"""One stream of data cut into objects that are sent at the same time, with a bounded number of bytes in memory.

The source is read in order, by one task. What it gives goes to the object at hand; when that is full the next begins at
once, while the one before is still sent and then acknowledged. So objects much smaller than the budget are sent by all
lanes at once, and of larger ones the end of each overlaps with the beginning of the next.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Executor

from upstream.stores.swift.budget import Budget

PIECE_BYTES = 256 * 1024


class Lane:
    """One object under way: pieces go in, and out to the connection that sends it, with their MD5."""

    def __init__(self, number: int, budget: Budget, pool: Executor) -> None:
        self.number, self.size_bytes, self.has_begun = number, 0, False
        self._budget, self._pool = budget, pool
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._held_bytes = self._last_bytes = 0
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._digesting: asyncio.Future[None] | None = None

    def put(self, piece: bytes) -> None:
        """A piece whose bytes were taken from the budget."""
        self.size_bytes += len(piece)
        self._held_bytes += len(piece)
        self._pieces.put_nowait(piece)

    def end(self) -> None:
        self._pieces.put_nowait(None)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """The next piece; who asks has passed the last one on."""
        self.has_begun = True
        await self._digested()
        self._give(self._last_bytes)
        self._last_bytes = 0
        piece = await self._pieces.get()
        if piece is None:
            raise StopAsyncIteration
        self._last_bytes = len(piece)
        self._digesting = asyncio.get_running_loop().run_in_executor(self._pool, self._md5.update, piece)
        return piece

    async def digest(self) -> str:
        await self._digested()
        return self._md5.hexdigest()

    def drop(self) -> None:
        """Whatever is left of it is not sent any more."""
        self._give(self._held_bytes)

    def _give(self, size_bytes: int) -> None:
        if size_bytes:
            self._held_bytes -= size_bytes
            self._budget.give(size_bytes)

    async def _digested(self) -> None:
        if self._digesting is not None:
            await self._digesting
            self._digesting = None


Send = Callable[[Lane], Awaitable[None]]


async def send_all(
    chunks: AsyncIterator[bytes], send: Send, *, object_max: int | None, lanes_max: int, budget: Budget, pool: Executor
) -> int:
    """Send all of `chunks` in objects of at most `object_max` bytes, numbered from 1 on; gives their total.

    Without `object_max` it is one object, also of no bytes. The first error ends it, and passes as it is.
    """
    cutter = _Cutter(send, object_max, lanes_max, budget, pool)
    try:
        async with asyncio.TaskGroup() as group:
            return await cutter.cut(chunks, group)
    except BaseExceptionGroup as errors:
        raise _first(errors) from None
    finally:
        cutter.drop()


class _Cutter:
    def __init__(self, send: Send, object_max: int | None, lanes_max: int, budget: Budget, pool: Executor) -> None:
        self._send, self._object_max, self._budget, self._pool = send, object_max, budget, pool
        self._free = asyncio.Semaphore(lanes_max)
        self._lane: Lane | None = None
        self._begun = 0
        self._under_way = set[Lane]()

    async def cut(self, chunks: AsyncIterator[bytes], group: asyncio.TaskGroup) -> int:
        total_bytes = 0
        if self._object_max is None:
            await self._next_lane(group)
        async for piece in _gathered(chunks):
            total_bytes += len(piece)
            rest = memoryview(piece)
            while rest:
                lane = self._lane or await self._next_lane(group)
                room = len(rest) if self._object_max is None else self._object_max - lane.size_bytes
                part, rest = rest[:room], rest[room:]
                await self._budget.take(len(part))
                lane.put(piece if len(part) == len(piece) else bytes(part))
                if lane.size_bytes == self._object_max:
                    self._end_lane()
        self._end_lane()
        return total_bytes

    async def _next_lane(self, group: asyncio.TaskGroup) -> Lane:
        await self._free.acquire()
        self._begun += 1
        self._lane = lane = Lane(self._begun, self._budget, self._pool)
        self._under_way.add(lane)
        group.create_task(self._run(lane))
        return lane

    def _end_lane(self) -> None:
        if self._lane is not None:
            self._lane.end()
            self._lane = None

    async def _run(self, lane: Lane) -> None:
        try:
            await self._send(lane)
        finally:
            lane.drop()
            self._under_way.discard(lane)
            self._free.release()

    def drop(self) -> None:
        """What no task ever took up, because it was cancelled before its first step."""
        for lane in self._under_way:
            lane.drop()


async def _gathered(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Crumbs together, so that none costs a step of its own; large chunks as they come, in pieces."""
    held, held_bytes = list[bytes](), 0
    async for chunk in chunks:
        held.append(chunk)
        held_bytes += len(chunk)
        if held_bytes >= PIECE_BYTES:
            whole = held[0] if len(held) == 1 else b"".join(held)
            held, held_bytes = [], 0
            for at in range(0, len(whole), 4 * PIECE_BYTES):
                yield whole if len(whole) <= 4 * PIECE_BYTES else whole[at : at + 4 * PIECE_BYTES]
    if held_bytes:
        yield b"".join(held)


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    first = errors.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
