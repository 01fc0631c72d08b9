"""Work that a cancellation must not leave half done."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")


async def settled(work: Coroutine[Any, Any, _T], is_decided: Callable[[], bool] = lambda: True) -> _T:
    """What `work` gives. When the caller is cancelled after it `is_decided`, its end is waited for first.

    Until then the cancellation is the work's too. The work has to end by itself: it has time-outs.
    """
    async with asyncio.TaskGroup() as owner:
        task = owner.create_task(_outcome(work))
        cancelled: asyncio.CancelledError | None = None
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError as error:
                cancelled = error
                if not is_decided():
                    task.cancel()
    if cancelled is not None:
        raise cancelled
    result, failed = task.result()
    if failed is not None:
        raise failed
    return result  # type: ignore[return-value] # there is one where nothing failed


async def _outcome(work: Coroutine[Any, Any, _T]) -> tuple[_T | None, Exception | None]:
    """An error would come out of the group as a group of one."""
    try:
        return await work, None
    except Exception as error:  # noqa: BLE001 - handed on as it is
        return None, error
