"""Locations that just refused to be opened: for a moment nobody asks them again."""

import asyncio
import hashlib
import random
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from upstream.errors import DataNotFound, NotAsked, Unavailable, Unproved
from upstream.retry import SLOT_MAX_S, slot_s
from upstream.types import Location

_REFUSALS_MAX = 4096
_MISSING_MAX_S = 5.0  # data that is missing may be on its way
_T = TypeVar("_T")


@dataclass(slots=True, kw_only=True)
class _Refusal:
    error: DataNotFound | Unavailable
    until_s: float = 0.0  # of the monotonic clock
    failures: int = 0
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)

    def raise_again(self, now_s: float) -> None:
        """The same kind of error anew: one error object must not collect the traces of a thousand readers."""
        if isinstance(self.error, DataNotFound):
            raise DataNotFound(self.error.where)
        raise Unavailable(self.error.service, "it refused a moment ago", self.until_s - now_s)


class Refusals:
    """One for all stores of a process. Missing data and unavailable stores are remembered, at most 10 s long.

    Denied is not: it is about credentials, which may be right the next time; nor is what is about the part asked for,
    nor that a store as a whole was not asked (guard/circuit.py): that has its own back-off.
    A location is its row and its store, so that one registered anew is a new one.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, jitter: Callable[[], float] = random.random
    ) -> None:
        self._clock, self._jitter = clock, jitter
        self._refusals: OrderedDict[bytes, _Refusal] = OrderedDict()

    async def ask(
        self, store: str, location: Location, opened: Callable[[], Awaitable[_T]], *, insist: bool = False
    ) -> _T:
        """What `opened` gives, or an error like its last one if that was a moment ago.

        When the moment is over one caller asks; the others wait for its outcome. `insist` asks in any case.
        """
        key = _key(store, location)
        while not insist and (refusal := self._refusals.get(key)) is not None:
            async with refusal.asking:
                if self._refusals.get(key) is refusal:
                    now_s = self._clock()
                    if now_s < refusal.until_s:
                        refusal.raise_again(now_s)
                    return await self._ask(key, opened)
        return await self._ask(key, opened)

    def forget(self, store: str, location: Location) -> None:
        """Something proved that the data is there."""
        self._refusals.pop(_key(store, location), None)

    async def _ask(self, key: bytes, opened: Callable[[], Awaitable[_T]]) -> _T:
        try:
            result = await opened()
        except (Unproved, NotAsked):
            raise
        except (DataNotFound, Unavailable) as error:
            self._remember(key, error)
            raise
        self._refusals.pop(key, None)
        return result

    def _remember(self, key: bytes, error: DataNotFound | Unavailable) -> None:
        refusal = self._refusals.setdefault(key, _Refusal(error=error))
        self._refusals.move_to_end(key)
        if len(self._refusals) > _REFUSALS_MAX:
            self._refusals.popitem(last=False)
        now_s = self._clock()
        refusal.error = error
        if now_s < refusal.until_s:  # asked before the last refusal came: that is no further one
            return
        refusal.failures += 1
        if isinstance(error, DataNotFound):
            wait_s = slot_s(refusal.failures, self._jitter(), max_s=_MISSING_MAX_S)
        else:
            asked_s = min(error.retry_after_s or 0.0, SLOT_MAX_S)
            wait_s = max(slot_s(refusal.failures, self._jitter()), asked_s)
        refusal.until_s = now_s + wait_s


def _key(store: str, location: Location) -> bytes:
    """A hash, since URLs may hold credentials."""
    return hashlib.sha256(f"{store} {location.id} {location.url}".encode()).digest()
