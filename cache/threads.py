"""Blocking calls off the loop, with an honest end: nobody goes on while a thread still uses his files."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from concurrent.futures import Executor
from typing import ParamSpec, TypeVar

from cache.errors import DiskFailed
from cache.watch import DiskWatch

P = ParamSpec("P")
T = TypeVar("T")


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
        if not future.cancelled():
            future.exception()  # looked at, so that asyncio does not report it as forgotten
        raise


class DiskThreads:
    """A pool for calls to the cache's disk: their errors become DiskFailed, and who watches the disk hears of all."""

    def __init__(self, pool: Executor, watch: DiskWatch) -> None:
        self._pool, self._watch = pool, watch

    async def __call__(self, operation: str, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `call` as `in_thread` does. `operation` is a verb for messages and metrics. Raises DiskFailed."""
        try:
            return await ended(self.start(operation, call, *args, **kwargs))
        except (OSError, sqlite3.Error) as error:
            raise DiskFailed(operation, error) from error

    def start(self, operation: str, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
        """Begin `call`. Its error is the disk's own; whatever happens, its end has to be awaited."""

        def watched() -> T:
            with self._watch.operation(operation):
                return call(*args, **kwargs)

        return start_in_thread(self._pool, watched)
