"""Locations that just refused to be opened: for a moment nobody asks them again, in any worker."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar
from weakref import WeakValueDictionary

from upstream.errors import DataNotFound, NotAsked, Unavailable, Unproved
from upstream.retry import SLOT_MAX_S, slot_s
from upstream.stores.notices import Notice, Notices, key_of
from upstream.types import Location

_MISSING_MAX_S = 5.0  # data that is missing may be on its way
_POLL_S = 0.02
_ASKED_MAX_S = 10.0  # a worker that asks for so long may be stopped: clients of others are told what was last known
_UNAVAILABLE, _MISSING = 0, 1  # the words of notices
_T = TypeVar("_T")


class Refusals:
    """One for all stores of a process. Missing data and unavailable stores are remembered, at most 10 s long.

    Denied is not: it is about credentials, which may be right the next time; nor is what is about the part asked for,
    nor that a store as a whole was not asked (guard/circuit.py): that has its own back-off.
    A location is its row and its store, so that one registered anew is a new one.
    """

    def __init__(
        self,
        notices: Notices,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._notices, self._clock, self._jitter = notices, clock, jitter
        self._asking: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()

    async def ask(
        self, store: str, location: Location, opened: Callable[[], Awaitable[_T]], *, insist: bool = False
    ) -> _T:
        """What `opened` gives, or an error like its last one if that was a moment ago.

        When the moment is over one caller asks, of all workers; the others wait for its outcome. `insist` asks in any
        case.
        """
        key = _key(store, location)
        while not insist and self._notices.read(key) is not None:
            lock = self._asking.setdefault(key, asyncio.Lock())
            async with lock:
                self._raise_if_known(store, key)
                if not self._notices.claim(key, self._clock()):  # another worker asks
                    await asyncio.sleep(_POLL_S)
                    self._raise_if_stopped(store, key)
                    continue
                try:
                    self._raise_if_known(store, key)
                    return await self._ask(key, opened)
                finally:
                    self._notices.give_back(key)
        return await self._ask(key, opened)

    def forget(self, store: str, location: Location) -> None:
        """Something proved that the data is there."""
        self._notices.remove(_key(store, location))

    def _raise_if_known(self, store: str, key: bytes) -> None:
        notice = self._notices.read(key)
        if notice is not None and self._clock() < notice.until_s:
            raise self._known(store, notice)

    def _raise_if_stopped(self, store: str, key: bytes) -> None:
        notice = self._notices.read(key)
        if notice is not None and self._clock() >= notice.asking_since_s + _ASKED_MAX_S:
            raise self._known(store, notice)

    def _known(self, store: str, notice: Notice) -> DataNotFound | Unavailable:
        if notice.word == _MISSING:
            return DataNotFound(store)
        return Unavailable(store, "it refused a moment ago", max(notice.until_s - self._clock(), slot_s(1, 0)))

    async def _ask(self, key: bytes, opened: Callable[[], Awaitable[_T]]) -> _T:
        try:
            result = await opened()
        except (Unproved, NotAsked):
            raise
        except (DataNotFound, Unavailable) as error:
            self._remember(key, error)
            raise
        self._notices.remove(key)
        return result

    def _remember(self, key: bytes, error: DataNotFound | Unavailable) -> None:
        now_s, before = self._clock(), self._notices.read(key)
        failures, until_s = (before.failures, before.until_s) if before else (0, 0.0)
        if now_s >= until_s:  # else it was asked before the last refusal came: that is no further one
            failures += 1
            until_s = now_s + self._slot_s(failures, error)
        word = _MISSING if isinstance(error, DataNotFound) else _UNAVAILABLE
        self._notices.write(key, Notice(failures=failures, until_s=until_s, word=word))

    def _slot_s(self, failures: int, error: DataNotFound | Unavailable) -> float:
        if isinstance(error, DataNotFound):
            return slot_s(failures, self._jitter(), max_s=_MISSING_MAX_S)
        asked_s = min(error.retry_after_s or 0.0, SLOT_MAX_S)
        return max(slot_s(failures, self._jitter()), asked_s)


def _key(store: str, location: Location) -> bytes:
    """A hash, since URLs may hold credentials."""
    return key_of("location", store, location.id, location.url)
