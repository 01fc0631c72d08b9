"""Clients come first: what is done for none of them goes slowly while some worker of the folder serves any.

It goes in small pieces then, at a rate, and none is begun while a client of this worker waits for his first bytes.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from dataclasses import dataclass

from cache.demand import Demand

QUIET_S = 1.0  # so long after the last sign of a client, nobody is there
PATIENT_BYTES = 256 * 1024  # at once, of what no client waits for: when one comes, this much goes on before him
WAITED_FOR_S = 0.05  # by then a client has his first bytes, or waits for a store: nothing here would hasten that
HELD_MAX_S = 0.25  # however many clients come: so often a piece goes on
_SERVED_LOOK_S = 0.005  # whether those who waited have what they came for
_GONE_LOOK_S = 0.1  # whether anybody is there at all
_ANY = ""  # no key of an image
_LOOK_EVERY_S = 0.005  # at the other workers: it is asked for with each piece that a store gives


class Pace:
    """A rate for several who know nothing of each other: each is told when the bytes that he moves are paid. Pure."""

    def __init__(self, rate_bytes_s: float) -> None:
        self._rate_bytes_s, self._paid_s = rate_bytes_s, 0.0

    def pay(self, size_bytes: int, now_s: float) -> float:
        """When he who moves so many may go on. What was not used before is lost: a burst would meet a client."""
        self._paid_s = max(self._paid_s, now_s) + size_bytes / self._rate_bytes_s
        return self._paid_s


@dataclass(frozen=True, slots=True)
class Turn:
    """One piece's: to go on at `due_s` by the rate, and `HELD_MAX_S` later even beside clients who wait. Pure."""

    due_s: float

    def held_s(self, now_s: float, *, awaited_until_s: float) -> float:
        """How long it is still held, as far as is known now; 0: go on.

        `awaited_until_s` is until when it is to be waited for clients who have none of their bytes yet.
        """
        if now_s < self.due_s:
            return self.due_s - now_s
        return max(0.0, min(awaited_until_s, self.due_s + HELD_MAX_S) - now_s)


class Traffic:
    """One worker's word that clients are there, and what it hears of the others: nothing before `open`.

    `pace` is that of everything which then holds back, in this worker.
    """

    def __init__(self, rate_bytes_s: float) -> None:
        self.pace = Pace(rate_bytes_s)
        self._demand: Demand | None = None
        self._came_s = 0.0
        self._waiting: dict[object, float] = {}  # the clients of this worker, by when they came
        self._awaited_until_s = 0.0
        self._leaving: asyncio.TimerHandle | None = None
        self._looked_s, self._is_elsewhere = 0.0, False

    def open(self, demand: Demand) -> None:
        self._demand = demand
        if self._leaving is not None:
            self._tell()

    def close(self) -> None:
        """Before `demand` is closed."""
        if self._leaving is not None:
            self._leaving.cancel()
        self._leaving = self._demand = None
        self._is_elsewhere = False

    def came(self) -> None:
        """A client asks for an image, or is given more of one that is being filled for him. Call it in the loop."""
        loop = asyncio.get_running_loop()
        self._came_s = loop.time()
        if self._leaving is None:
            self._leaving = loop.call_later(QUIET_S, self._look)
            self._tell()

    @contextlib.contextmanager
    def client(self) -> Iterator[None]:
        """A client's request, from its first moment to its end. In the loop."""
        self.came()
        mark, now_s = object(), time.monotonic()
        self._waiting[mark] = now_s
        self._awaited_until_s = now_s + WAITED_FOR_S
        try:
            yield
        finally:
            del self._waiting[mark]
            # Who came last is waited for longest, and stands last.
            self._awaited_until_s = next(reversed(self._waiting.values()), -WAITED_FOR_S) + WAITED_FOR_S

    def turn(self, size_bytes: int, now_s: float) -> Turn:
        """For who has moved so much of what no client waits for; 0 of what has a rate of its own. In any thread.

        What was moved while nobody was there is not paid: who comes then would have stopped it for long.
        """
        return Turn(self.pace.pay(size_bytes, now_s) if size_bytes and self.is_there(now_s) else now_s)

    def held_s(self, turn: Turn) -> float:
        """How long until it is worth looking again; 0: go on, as nobody is there or it is time. In any thread."""
        now_s = time.monotonic()
        held_s = turn.held_s(now_s, awaited_until_s=self._awaited_until_s)
        if not held_s or not self.is_there(now_s):
            return 0.0
        return min(held_s, _GONE_LOOK_S if now_s < turn.due_s else _SERVED_LOOK_S)

    def wait(self, size_bytes: int, is_wanted: Callable[[], bool]) -> bool:
        """Hold back in a thread. False as soon as it is no longer wanted."""
        turn = self.turn(size_bytes, time.monotonic())
        while (is_so := is_wanted()) and (held_s := self.held_s(turn)):
            time.sleep(held_s)
        return is_so

    async def hold_back(self, size_bytes: int, is_demanded: asyncio.Event) -> None:
        """Hold back in the loop, until `is_demanded` at most."""
        turn = self.turn(size_bytes, time.monotonic())
        while not is_demanded.is_set() and (held_s := self.held_s(turn)):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(held_s):
                    await is_demanded.wait()

    def portions(self, piece: bytes) -> Iterator[bytes]:
        """What to move at once of a piece that no client waits for: all of it, unless one is there."""
        if len(piece) <= PATIENT_BYTES or not self.is_there(time.monotonic()):
            yield piece
            return
        for at in range(0, len(piece), PATIENT_BYTES):
            yield piece[at : at + PATIENT_BYTES]

    async def unhurried(self, pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
        """The same bytes for a purpose that is no client's, whoever takes them."""
        never = asyncio.Event()
        async for piece in pieces:
            for portion in self.portions(piece):
                yield portion
                await self.hold_back(len(portion), never)

    def is_there(self, now_s: float) -> bool:
        """`now_s` by the loop's clock. In any thread."""
        if self._leaving is not None:
            return True
        demand = self._demand
        if demand is not None and now_s - self._looked_s >= _LOOK_EVERY_S:
            self._looked_s = now_s
            with contextlib.suppress(OSError):
                self._is_elsewhere = demand.is_told_elsewhere(_ANY)
        return self._is_elsewhere

    def _tell(self) -> None:
        if self._demand is not None:
            with contextlib.suppress(OSError):  # out of locks: then only this worker knows
                self._demand.tell(_ANY)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        left_s = self._came_s + QUIET_S - loop.time()
        if left_s > 0:
            self._leaving = loop.call_later(left_s, self._look)
            return
        self._leaving = None
        if self._demand is not None:
            with contextlib.suppress(OSError):
                self._demand.take_back(_ANY)
