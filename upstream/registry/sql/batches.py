"""Many asks, one query: while one runs, those who come wait and are answered together by the next."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from itertools import islice
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class _Lead:
    """What a waiter finds instead of an answer when it is its turn to run the query."""


_LEAD = _Lead()

Waiter = asyncio.Future[V | Exception | _Lead | None]


class Batches(Generic[K, V]):
    """Answers every ask by a query that started after it, so that no answer is older than its question.

    There is no task behind this: the first to come runs the query for itself and for all who wait, then hands the lead
    to one who came meanwhile. A leader that is cancelled takes only itself away: the others wait for the next query.
    """

    def __init__(self, load: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]], keys_max: int = 256) -> None:
        self._load, self._keys_max = load, keys_max
        self._waiting: dict[Waiter[V], K] = {}  # in the order they came
        self._is_led = False

    async def get(self, key: K) -> V | None:
        """The value of `key`, None if `load` has none. Raises what `load` raised for this batch."""
        if not self._is_led:
            self._is_led = True
            return await self._lead(key)
        waiter: Waiter[V] = asyncio.get_running_loop().create_future()
        self._waiting[waiter] = key
        try:
            answer = await waiter
        except asyncio.CancelledError:
            self._waiting.pop(waiter, None)
            # The lead may have been handed over in the same turn of the loop in which we were cancelled.
            if waiter.done() and not waiter.cancelled() and waiter.result() is _LEAD:
                self._appoint()
            raise
        if isinstance(answer, _Lead):
            return await self._lead(key)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _lead(self, key: K) -> V | None:
        """Run one query, for `key` and for those who wait. Whatever happens, the lead goes on in the end."""
        batch: dict[Waiter[V], K] = {}
        try:
            batch = self._next_batch()
            found = await self._load(tuple(dict.fromkeys((key, *batch.values()))))
        except Exception as error:
            _answer(batch, dict.fromkeys(batch.values(), error))
            raise
        except BaseException:
            # We alone are cancelled. The others have waited longest: back to the front.
            self._waiting = {waiter: asked for waiter, asked in batch.items() if not waiter.done()} | self._waiting
            raise
        else:
            _answer(batch, found)
            return found.get(key)
        finally:
            self._appoint()

    def _next_batch(self) -> dict[Waiter[V], K]:
        batch = dict(islice(self._waiting.items(), self._keys_max - 1))
        for waiter in batch:
            del self._waiting[waiter]
        return batch

    def _appoint(self) -> None:
        """Hand the lead to the one who waits longest; it asks for itself and leaves the queue."""
        while self._waiting:
            waiter = next(iter(self._waiting))
            del self._waiting[waiter]
            if not waiter.done():
                waiter.set_result(_LEAD)
                return
        self._is_led = False


def _answer(batch: Mapping[Waiter[V], K], answers: Mapping[K, V] | Mapping[K, Exception]) -> None:
    for waiter, key in batch.items():
        if not waiter.done():
            waiter.set_result(answers.get(key))
