"""Fills that wait for their disk too long: who has no byte of them yet does not wait for that, in any worker."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from cache.demand import Demand, held
from cache.flight import Flight

_STEP_S, _STEPS = 0.3, 5  # as for finding a file: cache/boarding.py


class DiskWait:
    """One fill's waits, one after the other. `begun` is called when one has lasted too long, `ended` at its end.

    It is measured in steps, of which a process that was held up finds one over when it goes on, and does not take its
    own pause for the disk's.
    """

    def __init__(self, begun: Callable[[], None], ended: Callable[[], None]) -> None:
        self._begun, self._ended = begun, ended
        self._is_held = False
        self._timer: asyncio.TimerHandle | None = None
        self._left = _STEPS
        self._is_alive: Callable[[], bool] = lambda: False

    def begin(self, is_alive: Callable[[], bool] = lambda: False) -> None:
        """`is_alive` is asked at each step whether the disk is seen to work, which begins the wait anew."""
        assert self._timer is None
        self._left, self._is_alive = _STEPS, is_alive
        self._timer = asyncio.get_running_loop().call_later(_STEP_S, self._step)

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._is_held:
            self._is_held = False
            self._ended()

    @contextmanager
    def __call__(self, is_alive: Callable[[], bool] = lambda: False) -> Iterator[None]:
        self.begin(is_alive)
        try:
            yield
        finally:
            self.end()

    def _step(self) -> None:
        self._left = _STEPS if self._is_alive() else self._left - 1
        if self._left > 0:
            self._timer = asyncio.get_running_loop().call_later(_STEP_S, self._step)
        else:
            self._is_held = True
            self._begun()


class Holding:
    """Which fills of this worker the disk holds up. Their waiters are told, here and in other workers.

    So are those of the fills that wait for their turn, while the disk holds up all that have theirs.
    """

    def __init__(self, fills_max: int) -> None:
        self._fills_max = fills_max
        self._held: set[Flight] = set()
        self._queued: set[Flight] = set()
        self._demand: Demand | None = None

    def open(self, demand: Demand) -> None:
        """`demand` is closed after the last fill has ended."""
        self._demand = demand

    def wait_of(self, flight: Flight) -> DiskWait:
        """For the waits of this fill."""

        def begun() -> None:
            self._held.add(flight)
            self._tell(flight, is_held=True)
            self._tell_queue()

        def ended() -> None:
            self._held.discard(flight)
            self._tell(flight, is_held=False)
            self._tell_queue()

        return DiskWait(begun, ended)

    @contextmanager
    def queue(self, flight: Flight) -> Iterator[None]:
        """While it waits for its turn."""
        self._queued.add(flight)
        self._tell_queue()
        try:
            yield
        finally:
            self._queued.discard(flight)
            self._tell(flight, is_held=False)

    def _tell_queue(self) -> None:
        for flight in self._queued:
            self._tell(flight, is_held=len(self._held) >= self._fills_max)

    def _tell(self, flight: Flight, *, is_held: bool) -> None:
        flight.progress.hold(is_held=is_held)
        if self._demand is not None:
            with suppress(OSError):  # out of locks: then only this worker knows
                (self._demand.tell if is_held else self._demand.take_back)(held(flight.blob.key))
