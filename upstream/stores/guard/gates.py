"""Where reads and calls wait for their turn: for a slot of a store, and for its bandwidth. What is decided: slots.py,
order.py and bucket.py.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from contextlib import asynccontextmanager

from upstream.stores.guard.bucket import Bucket
from upstream.stores.guard.order import Order, Waiter
from upstream.stores.guard.purposes import PURPOSES, Errand, Purpose
from upstream.stores.guard.slots import Slots

Told = Callable[[Purpose, int], None]
"""Hears of one more, or one less, of a purpose."""


class SlotGate:
    """The slots of one store."""

    def __init__(self, most: int, background_most: int, wait_s: float, *, holding: Told, waiting: Told) -> None:
        self._slots, self._wait_s = Slots(most, background_most), wait_s
        self._holding, self._waiting = holding, waiting
        self._entering: dict[Waiter, asyncio.Future[None]] = {}

    @asynccontextmanager
    async def slot(self, image: str, errand: Errand) -> AsyncIterator[None]:
        """A slot until the context is left. Raises TimeoutError if a client waited for it longer than `wait_s`.

        What no client waits for waits for as long as there is others' work before it; it is never passed over for ever.
        """
        waiter = Waiter(image, errand.purpose)

        def moved(purpose: Purpose) -> None:
            told = self._holding if self._slots.holds(waiter) else self._waiting
            told(waiter.purpose, -1)
            told(purpose, 1)
            self._enter(self._slots.move(waiter, purpose))

        if self._slots.ask(waiter):
            self._holding(waiter.purpose, 1)
            try:
                with errand.heard_by(moved):
                    yield
            finally:
                self._leave(waiter)
            return
        self._waiting(waiter.purpose, 1)
        try:
            with errand.heard_by(moved):
                await self._entered(waiter, errand)
                yield
        finally:
            self._leave(waiter)

    async def _entered(self, waiter: Waiter, errand: Errand) -> None:
        loop = asyncio.get_running_loop()
        entered = self._entering[waiter] = loop.create_future()
        try:
            async with asyncio.timeout(None) as patience:

                def limited(purpose: Purpose) -> None:
                    if not patience.expired():
                        patience.reschedule(loop.time() + self._wait_s if purpose == "demand" else None)

                limited(waiter.purpose)
                with errand.heard_by(limited):
                    await entered
        finally:
            del self._entering[waiter]

    def _enter(self, waiters: Iterable[Waiter]) -> None:
        for waiter in waiters:
            self._waiting(waiter.purpose, -1)
            self._holding(waiter.purpose, 1)
            if not (entered := self._entering[waiter]).done():  # cancelled a moment ago: it gives its slot back itself
                entered.set_result(None)

    def _leave(self, waiter: Waiter) -> None:
        told = self._holding if self._slots.holds(waiter) else self._waiting
        told(waiter.purpose, -1)
        self._enter(self._slots.leave(waiter))


class RateGate:
    """Bytes per second of one store in one direction, for all who read or write it."""

    def __init__(
        self,
        rate_bytes_s: float,
        among: Collection[Purpose] = PURPOSES,
        *,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """`among`: whom it limits. Who is of another purpose, or comes to be, passes."""
        self._loop = loop or asyncio.get_running_loop()
        self._bucket, self._order, self._among = Bucket(rate_bytes_s, self._loop.time()), Order(), among
        self._turns: dict[Waiter, asyncio.Future[None]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def pay(self, size_bytes: int, errand: Errand) -> None:
        """For bytes that were moved and whose reader goes: those who come later wait for them."""
        if errand.purpose in self._among:
            self._bucket.take(size_bytes, self._loop.time())

    async def passed(self, size_bytes: int, image: str, errand: Errand) -> float:
        """Return when so many more bytes may be moved; how long that took, in seconds."""
        if errand.purpose not in self._among:
            return 0.0
        began_s = self._loop.time()
        if not self._turns and not self._bucket.wait_s(began_s):
            self._bucket.take(size_bytes, began_s)
            return 0.0
        waiter = Waiter(image, errand.purpose, size_bytes)
        turn = self._turns[waiter] = self._loop.create_future()
        self._order.add(waiter)

        def moved(purpose: Purpose) -> None:
            self._order.move(waiter, purpose)
            if purpose not in self._among and self._order.remove(waiter) and not turn.done():
                turn.set_result(None)

        try:
            with errand.heard_by(moved):
                self._serve()
                await turn
        finally:
            self._order.remove(waiter)
            del self._turns[waiter]
        return self._loop.time() - began_s

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _serve(self) -> None:
        now_s = self._loop.time()
        while (waiter := self._order.first()) is not None:
            if left_s := self._bucket.wait_s(now_s):
                if self._timer is None:
                    self._timer = self._loop.call_later(left_s, self._wake)
                return
            self._order.take(waiter)
            if not (turn := self._turns[waiter]).done():  # cancelled a moment ago: it moves nothing
                self._bucket.take(waiter.cost, now_s)
                turn.set_result(None)

    def _wake(self) -> None:
        self._timer = None
        self._serve()
