"""Blocking calls off the loop, with an honest end: nobody goes on while a thread still uses his files."""

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Executor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(pool: Executor, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a blocking call in `pool`. When the caller is cancelled it still waits for the call to end, then leaves.

    A thread cannot be stopped. Were it left behind, it could write through a descriptor that was closed meanwhile
    and belongs to another file by now.
    """
    future = asyncio.get_running_loop().run_in_executor(pool, lambda: call(*args, **kwargs))
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
