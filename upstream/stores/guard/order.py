"""Whose turn is next: by purpose, and among those of one purpose by image. Pure.

Demand goes before prewarm, prewarm before refetch; but who is passed over again and again gets one sixteenth of what is
given, so nobody waits for ever. Images of one purpose take turns, so many readers of one do not delay another's.
"""

from collections import OrderedDict, deque
from collections.abc import Collection
from dataclasses import dataclass

from upstream.stores.guard.purposes import PURPOSES, Purpose

FLOOR_PARTS = 16


@dataclass(eq=False, slots=True)
class Waiter:
    """One read or call that wants a turn. `cost` is what its turn takes: 1 of slots, or bytes."""

    image: str
    purpose: Purpose
    cost: int = 1


class Order:
    """Those who wait, and who of them is next."""

    def __init__(self) -> None:
        self._images: dict[Purpose, OrderedDict[str, deque[Waiter]]] = {each: OrderedDict() for each in PURPOSES}
        self._passed: dict[Purpose, int] = dict.fromkeys(PURPOSES, 0)

    def add(self, waiter: Waiter) -> None:
        self._images[waiter.purpose].setdefault(waiter.image, deque()).append(waiter)

    def remove(self, waiter: Waiter) -> bool:
        """It waits no longer. Whether it did."""
        images = self._images[waiter.purpose]
        line = images.get(waiter.image)
        if line is None or waiter not in line:
            return False
        line.remove(waiter)
        if not line:
            del images[waiter.image]
        if not images:
            self._passed[waiter.purpose] = 0
        return True

    def move(self, waiter: Waiter, purpose: Purpose) -> None:
        """Its purpose is another one from here on, whether or not it waits."""
        waits = self.remove(waiter)
        waiter.purpose = purpose
        if waits:
            self.add(waiter)

    def first(self, among: Collection[Purpose] = PURPOSES) -> Waiter | None:
        """Who is next of those with one of these purposes."""
        heads = [head for each in PURPOSES if each in among and (head := self._head(each)) is not None]
        for head in reversed(heads[1:]):
            if self._passed[head.purpose] >= (FLOOR_PARTS - 1) * head.cost:
                return head
        return heads[0] if heads else None

    def take(self, waiter: Waiter) -> None:
        """It is its turn. Its image goes behind the others; those of lesser purposes who wait were passed over."""
        images = self._images[waiter.purpose]
        self.remove(waiter)
        if waiter.image in images:
            images.move_to_end(waiter.image)
        self._passed[waiter.purpose] = 0
        for each in PURPOSES[PURPOSES.index(waiter.purpose) + 1 :]:
            if self._images[each]:
                self._passed[each] += waiter.cost

    def _head(self, purpose: Purpose) -> Waiter | None:
        images = self._images[purpose]
        return next(iter(images.values()))[0] if images else None
