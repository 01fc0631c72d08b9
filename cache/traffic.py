"""Clients come first: what is brought in for none of them goes slowly while some worker of the folder serves any."""

import asyncio
import contextlib

from cache.demand import Demand

QUIET_S = 1.0  # so long after the last sign of a client, nobody is there
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


class Traffic:
    """One worker's word that clients are there, and what it hears of the others. Nobody is before `open`.

    `pace` is that of everything which then holds back, in this worker.
    """

    def __init__(self, rate_bytes_s: float) -> None:
        self.pace = Pace(rate_bytes_s)
        self._demand: Demand | None = None
        self._came_s = 0.0
        self._leaving: asyncio.TimerHandle | None = None
        self._looked_s, self._is_elsewhere = 0.0, False

    def open(self, demand: Demand) -> None:
        self._demand = demand

    def close(self) -> None:
        """Before `demand` is closed."""
        if self._leaving is not None:
            self._leaving.cancel()
        self._leaving = self._demand = None
        self._is_elsewhere = False

    def came(self) -> None:
        """A client asks for an image, or is given more of one that is being filled for him. Call it in the loop."""
        if self._demand is None:
            return
        loop = asyncio.get_running_loop()
        self._came_s = loop.time()
        if self._leaving is None:
            self._leaving = loop.call_later(QUIET_S, self._look)
            with contextlib.suppress(OSError):  # out of locks: then only this worker knows
                self._demand.tell(_ANY)

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
