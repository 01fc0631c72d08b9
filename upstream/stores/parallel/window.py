"""The parts of one image that are under way: sent for in order, received side by side, handed out in order."""

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

import structlog

from metrics import Instruments
from upstream.errors import Unavailable, Unproved, UpstreamError, WrongLength
from upstream.retry import slot_s
from upstream.stores.base import Rest, Witness
from upstream.stores.parallel.budget import Budget
from upstream.stores.parallel.depth import Climb, Meter
from upstream.stores.parallel.part import Part

log = structlog.get_logger()

_MIB = 1024 * 1024
_ROOM_BYTES = _MIB  # of a part that nothing is read ahead of
_FIRST_STRETCH = 4, 4  # one request alone has a quarter of the rest, and no more than four parts
_STRETCH = 2, 16  # ... and so when it is known that one is best: each request costs the store a little
_RETRIES_MAX = 2
_PROGRESS_BYTES = _MIB

ReadPart = Callable[[int, int], AbstractAsyncContextManager[AsyncIterator[bytes]]]
"""Opens the bytes from one offset up to another, as `Store.read`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the windows of one store share."""

    store: str
    budget: Budget
    instruments: Instruments
    part_bytes: int
    clock: Callable[[], float] = time.monotonic


class _TooMuch(WrongLength):
    """A store went on after the part that it was asked for: what it gave may be anything."""


class Window:
    """One reader's parts from `offset` up to `stop`. Its tasks belong to the group that it is given.

    A part that breaks is asked for again from where it broke, by itself; when that does not help, its error comes at
    its place in the order, after everything before it, and what is behind it is given up.
    """

    def __init__(
        self,
        tasks: asyncio.TaskGroup,
        read: ReadPart,
        offset: int,
        stop: int,
        witness: Witness,
        around: Surroundings,
    ) -> None:
        self._group, self._read, self._witness, self._around = tasks, read, witness, around
        self._asked, self._stop = offset, stop
        self._budget, self._share = around.budget, around.budget.enter()
        self._climb = Climb(around.budget.reads_max, around.budget.depth)
        self._meter = Meter(around.clock())
        self._parts: deque[Part] = deque()
        self._running: dict[Part, asyncio.Task[None]] = {}
        self._has_agreed = self._is_closed = self._is_widening = False

    async def open(self, rest: Rest) -> None:
        """Send for the first part, and wait until the store agrees. Raises its refusal.

        No other part is sent for before: all others are proved to be of the object whose first part this is.
        """
        self._witness.rest = rest
        part = self._send_for_next()
        await part.opened()
        self._witness.rest = None
        self._meter.restart(self._around.clock())
        self._send_on()

    async def chunks(self) -> AsyncGenerator[bytes]:
        while self._parts:
            part = self._parts[0]
            part.is_next.set()
            while (chunk := await self._taken(part)) is not None:
                self._look()
                self._send_on()
                yield chunk
            self._parts.popleft()
            self._share.held_bytes -= part.held_bytes
            self._tell()
            self._send_on()

    def close(self) -> None:
        """Give everything up. The tasks are over when their group is."""
        self._is_closed = True
        for task in self._running.values():
            task.cancel()
        self._budget.leave(self._share)
        self._tell()

    async def _taken(self, part: Part) -> bytes | None:
        began_s = self._around.clock()
        try:
            return await part.take()
        finally:
            self._meter.waited(self._around.clock() - began_s)

    def _look(self) -> None:
        """Whether the depth is right, as soon as enough was seen of it."""
        climb, now_s = self._climb, self._around.clock()
        if self._is_widening:
            self._is_widening = not all(part.is_opened for part in self._running)
            self._meter.restart(now_s)
            return
        enough_bytes = self._around.part_bytes // 8 if climb.is_guess else self._around.part_bytes * climb.depth
        epoch = self._meter.epoch(now_s, enough_bytes, is_guess=climb.is_guess)
        if epoch is not None:
            before = climb.depth
            climb.judge(epoch)
            self._is_widening = climb.depth > before  # what is sent for now has not begun to come: not to be judged yet
            self._budget.depth = climb.found or self._budget.depth
            self._around.instruments.store_parallel_depth.labels(self._around.store).set(climb.depth)

    def _send_on(self) -> None:
        """Send for as many parts as the depth says and the budget has."""
        while self._asked < self._stop and not self._is_closed and self._share.reads < self._climb.depth:
            if self._parts and not self._budget.admits(self._share, self._room_bytes(self._length())):
                return  # the first one is every reader's own
            self._send_for_next()

    def _send_for_next(self) -> Part:
        length = self._length()
        room_bytes = self._room_bytes(length)
        held_bytes = room_bytes if self._budget.admits(self._share, room_bytes) else 0
        part = Part(self._asked, self._asked + length, room_bytes if held_bytes else _ROOM_BYTES, held_bytes)
        self._asked += length
        self._share.reads += 1
        self._share.held_bytes += held_bytes
        self._parts.append(part)
        self._around.instruments.store_parts.labels(self._around.store).inc()
        self._running[part] = self._group.create_task(self._run(part))
        self._tell()
        return part

    def _length(self) -> int:
        """Of the next part. A rest that would be too small for a request of its own goes with the last one."""
        rest, part_bytes = self._stop - self._asked, self._around.part_bytes
        if self._climb.depth == 1:
            # Also to be compared with: short parts, one after another, are slower than one request is.
            share, parts = _STRETCH if self._climb.is_settled else _FIRST_STRETCH
            part_bytes = max(part_bytes, min(rest // share, parts * part_bytes))
        return rest if rest < part_bytes * 3 // 2 else part_bytes

    def _room_bytes(self, length: int) -> int:
        return length if self._climb.depth > 1 else min(length, _ROOM_BYTES)

    async def _run(self, part: Part) -> None:
        """The whole life of a part's task. Its failure is its reader's, not the group's."""
        error: Exception | None = None
        try:
            await self._receive(part)
        except Exception as raised:  # noqa: BLE001 - whatever it is, it comes at its place in the order
            error = raised
        finally:
            del self._running[part]
            self._share.reads -= 1
        part.end(error)
        if error is not None:
            self._give_up_behind(part)
        self._send_on()

    async def _receive(self, part: Part) -> None:
        failures = 0
        while True:
            before, is_agreed = part.at, False
            try:
                async with self._read(part.at, part.stop) as chunks:
                    is_agreed = True
                    self._agreed(part)
                    await self._fetch(part, chunks)
            except UpstreamError as error:
                failures = 1 if part.at - before >= _PROGRESS_BYTES else failures + 1
                if not self._may_help(part, error, is_agreed=is_agreed):
                    raise
                if failures > _RETRIES_MAX and part.is_next.is_set():
                    raise
                await self._pause(part, error, failures)
            else:
                return

    def _agreed(self, part: Part) -> None:
        rest = self._witness.rest
        if rest is not None and rest.is_given:
            log.info("store.gives_no_parts", store=self._around.store)
            part.is_open_ended, self._asked = True, self._stop
        self._has_agreed = True
        part.open()

    async def _fetch(self, part: Part, chunks: AsyncIterator[bytes]) -> None:
        """Of an open end the store itself knows where it is."""
        async for chunk in chunks:
            if part.at + len(chunk) > part.stop and not part.is_open_ended:
                raise _TooMuch(part.stop, part.at + len(chunk))
            self._meter.arrived(len(chunk))
            await part.put(chunk)
        if part.at < part.stop and not part.is_open_ended:
            raise WrongLength(part.stop, part.at)

    def _may_help(self, part: Part, error: UpstreamError, *, is_agreed: bool) -> bool:
        """Whether to ask once more for what the part lacks: not before the store has agreed to anything."""
        if not self._has_agreed or part.is_open_ended or isinstance(error, Unproved | _TooMuch):
            return False
        return isinstance(error, Unavailable) or (is_agreed and isinstance(error, WrongLength))

    async def _pause(self, part: Part, error: UpstreamError, failures: int) -> None:
        """Who has others before him waits for them after a few failures: nobody misses him yet."""
        self._climb.stumble()
        self._around.instruments.store_part_retries.labels(self._around.store).inc()
        log.warning("store.part_broke", store=self._around.store, at_bytes=part.at, error=type(error).__name__)
        if failures > _RETRIES_MAX:
            await part.is_next.wait()
        await asyncio.sleep(slot_s(failures, random.random()))  # noqa: S311 - spreads load, guards nothing

    def _give_up_behind(self, broken: Part) -> None:
        """What is behind a part that will not come is of no use, and costs the store."""
        self._asked = self._stop
        while self._parts and self._parts[-1] is not broken:
            part = self._parts.pop()
            self._share.held_bytes -= part.held_bytes
            if part in self._running:
                self._running[part].cancel()
        self._tell()

    def _tell(self) -> None:
        held_bytes = self._budget.held_bytes
        self._around.instruments.store_read_ahead_bytes.labels(self._around.store).set(held_bytes)
