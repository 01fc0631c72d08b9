"""Blocking calls off the loop, with an honest end: nobody goes on while a thread still uses his files."""

import asyncio
import contextlib
import errno
import sqlite3
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, ParamSpec, TypeVar

from cache.errors import DiskFailed
from cache.watch import DiskWatch

P = ParamSpec("P")
T = TypeVar("T")

SILENT_S = 10.0  # who asks about the cache, and not for an image, waits so long for a thread that shows no sign of life
_STEPS = 5  # as for finding a file: cache/boarding.py


async def in_thread(pool: Executor, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a blocking call in `pool`. When the caller is cancelled it still waits for the call to end, then leaves.

    A thread cannot be stopped. Were it left behind, it could write through a descriptor that was closed meanwhile
    and belongs to another file by now.
    """
    return await ended(start_in_thread(pool, call, *args, **kwargs))


def start_in_thread(pool: Executor, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
    """Begin a blocking call, to do something else meanwhile. Whatever happens, `ended` has to be awaited."""
    return asyncio.get_running_loop().run_in_executor(pool, lambda: call(*args, **kwargs))


async def ended(future: asyncio.Future[T]) -> T:
    try:
        # The shield keeps a cancellation from marking the future done while its thread still runs.
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        while not future.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({future})
        look_at(future)
        raise


class DiskThreads:
    """A pool for calls to the cache's disk: their errors become DiskFailed, and who watches the disk hears of all."""

    def __init__(self, pool: Executor, watch: DiskWatch) -> None:
        self._pool, self._watch = pool, watch
        self._unanswered: asyncio.Future[Any] | None = None

    @property
    def is_silent(self) -> bool:
        """Whether somebody has waited in vain for an answer, and would wait still."""
        return self._unanswered is not None and not self._unanswered.done()

    async def __call__(self, operation: str, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `call` as `in_thread` does. `operation` is a verb for messages and metrics. Raises DiskFailed."""
        try:
            return await ended(self.start(operation, call, *args, **kwargs))
        except (OSError, sqlite3.Error) as error:
            raise DiskFailed(operation, error) from error

    async def answer(
        self,
        operation: str,
        is_alive: Callable[[], bool],
        call: Callable[P, T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """The same for who waits for nothing but the answer: he leaves at once when he is cancelled.

        Raises DiskFailed too when the pool shows no life for SILENT_S, by `is_alive`: what was asked may still be done.
        Who comes after that is refused at once until it does, so that nothing piles up.
        """
        refusal = DiskFailed(operation, TimeoutError(errno.ETIMEDOUT, f"no answer for {SILENT_S:g} s"))
        if self.is_silent:
            raise refusal
        future = self.start(operation, call, *args, **kwargs)
        future.add_done_callback(look_at)
        left = _STEPS
        while not (await asyncio.wait({future}, timeout=SILENT_S / _STEPS))[0]:
            left = _STEPS if is_alive() else left - 1
            if not left:
                self._unanswered = future
                raise refusal
        try:
            return future.result()
        except (OSError, sqlite3.Error) as error:
            raise DiskFailed(operation, error) from error

    def start(self, operation: str, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
        """Begin `call`. Its error is the disk's own; whatever happens, its end has to be awaited."""

        def watched() -> T:
            with self._watch.operation(operation):
                return call(*args, **kwargs)

        return start_in_thread(self._pool, watched)


def nothing_else() -> bool:
    """Of what is short: the answer is its only sign of life."""
    return False


def look_at(future: asyncio.Future[Any]) -> None:
    """So that asyncio does not report an error as forgotten of which nobody wants to hear any more."""
    if not future.cancelled():
        future.exception()
