"""Calls that hang: their callers do not, nor do others once a thread comes back."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from upstream.errors import Unavailable
from upstream.stores.rbd.threads import Threads

PATIENCE_S = 0.1
WAIT_S = 30.0


@asynccontextmanager
async def opened(threads_max: int = 2, patience_s: float = WAIT_S) -> AsyncIterator[Threads]:
    """Patient, but for what the test lets hang: whoever is to be answered may be on a busy machine."""
    threads = Threads("ceph", threads_max=threads_max, patience_s=patience_s)
    try:
        yield threads
    finally:
        await threads.close()


async def test_a_call_gives_its_result_or_its_error() -> None:
    async with opened() as threads:
        assert await threads.run(lambda: 5) == 5
        with pytest.raises(ZeroDivisionError):
            await threads.run(lambda: 1 // 0)


async def test_a_call_that_hangs_is_unavailable_and_holds_up_no_other() -> None:
    thaw = threading.Event()
    async with opened(patience_s=PATIENCE_S) as threads:
        with pytest.raises(Unavailable, match="no answer within"):
            await threads.run(thaw.wait)
        threads._patience_s = WAIT_S
        assert await threads.run(lambda: 5) == 5
        thaw.set()


async def test_when_all_threads_hang_further_calls_fail_at_once_until_one_comes_back() -> None:
    thaw, called = threading.Event(), threading.Event()
    async with opened(patience_s=PATIENCE_S) as threads:
        held = [await threads.begin(thaw.wait) for _ in range(2)]
        hung = await asyncio.gather(*map(threads.wait, held), return_exceptions=True)
        assert [type(error) for error in hung] == [Unavailable] * 2

        with pytest.raises(Unavailable, match="none of the last 2 calls was answered"):
            await threads.run(called.set)
        thaw.set()
        await asyncio.wait([call.done for call in held], timeout=WAIT_S)
        threads._patience_s = WAIT_S

        assert await threads.run(lambda: 5) == 5
        assert not called.is_set()


async def test_a_call_waits_for_a_thread_only_as_long_as_for_an_answer() -> None:
    thaw = threading.Event()
    async with opened(threads_max=2, patience_s=PATIENCE_S) as threads:
        held = [await threads.begin(thaw.wait) for _ in range(2)]
        for call in held:
            call.alive_at += 3600  # they go on, and on
        with pytest.raises(Unavailable, match="no thread was free"):
            await threads.run(lambda: 5)
        thaw.set()


async def test_a_call_that_shows_signs_of_life_is_waited_for() -> None:
    async with opened(patience_s=1.2) as threads:

        def long() -> str:
            end = time.monotonic() + 1.5
            while time.monotonic() < end:
                time.sleep(0.01)
                call.alive()
            return "done"

        call = await threads.begin(long)
        assert await threads.wait(call) == "done"


async def test_what_a_given_up_call_came_to_is_undone() -> None:
    thaw, undone = threading.Event(), threading.Event()
    results: list[str] = []

    def late() -> str:
        thaw.wait()
        return "an open image"

    def undo(result: str) -> None:
        results.append(result)
        undone.set()

    async with opened(patience_s=PATIENCE_S) as threads:
        with pytest.raises(Unavailable):
            await threads.run(late, undo)
        threads._patience_s = WAIT_S
        thaw.set()
        assert await asyncio.to_thread(undone.wait, WAIT_S)
        assert results == ["an open image"]


async def test_a_cancelled_caller_is_let_go_and_its_call_undone() -> None:
    thaw, begun, undone = threading.Event(), threading.Event(), threading.Event()

    def late() -> int:
        begun.set()
        thaw.wait()
        return 5

    async with opened(patience_s=WAIT_S) as threads:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(threads.run(late, lambda _: undone.set()))
            assert await asyncio.to_thread(begun.wait, WAIT_S)
            running.cancel()
        assert not undone.is_set()
        thaw.set()
        assert await asyncio.to_thread(undone.wait, WAIT_S)


async def test_reading_ahead_takes_no_thread_that_is_not_free() -> None:
    thaw = threading.Event()
    async with opened(threads_max=2, patience_s=WAIT_S) as threads:
        first = await threads.begin(thaw.wait)
        second = await threads.begin_if_free(thaw.wait)
        assert second is not None
        assert await threads.begin_if_free(thaw.wait) is None
        thaw.set()
        await threads.wait(first)
        await threads.wait(second)
        assert await threads.begin_if_free(thaw.wait) is not None


async def test_tidying_that_fails_disturbs_nobody() -> None:
    async with opened() as threads:
        threads.later(lambda: 1 // 0)
        assert await threads.run(lambda: 5) == 5
