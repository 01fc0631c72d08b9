"""How many calls of one store run at once, and which of those who wait is let in. Pure."""

from upstream.stores.guard.order import Order, Waiter
from upstream.stores.guard.purposes import PURPOSES, Purpose


class Slots:
    """At most `most` at once, of which at most `background_most` are for nobody who waits at a client."""

    def __init__(self, most: int, background_most: int) -> None:
        assert 0 < background_most <= most
        self._most, self._background_most = most, background_most
        self._held: set[Waiter] = set()
        self._order = Order()

    def holds(self, waiter: Waiter) -> bool:
        return waiter in self._held

    def ask(self, waiter: Waiter) -> bool:
        """Whether it has its slot at once; else it waits for one."""
        self._order.add(waiter)
        return waiter in self._let_in()

    def leave(self, waiter: Waiter) -> list[Waiter]:
        """It needs no slot, or none any more. Who has one instead."""
        self._order.remove(waiter)
        self._held.discard(waiter)
        return self._let_in()

    def move(self, waiter: Waiter, purpose: Purpose) -> list[Waiter]:
        """Its purpose is another one. Who has a slot for that."""
        self._order.move(waiter, purpose)
        return self._let_in()

    def _let_in(self) -> list[Waiter]:
        entered: list[Waiter] = []
        while (waiter := self._order.first(self._open_to())) is not None:
            self._order.take(waiter)
            self._held.add(waiter)
            entered.append(waiter)
        return entered

    def _open_to(self) -> tuple[Purpose, ...]:
        if len(self._held) >= self._most:
            return ()
        background = sum(held.purpose != "demand" for held in self._held)
        return PURPOSES if background < self._background_most else ("demand",)
