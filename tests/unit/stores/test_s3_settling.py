"""What is decided is waited for; what is not, is cancelled."""

import asyncio

import pytest

from upstream.stores.s3.settling import settled


async def test_work_that_is_decided_ends_before_the_cancellation_passes() -> None:
    began, go_on, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        began.set()
        await go_on.wait()
        done.set()

    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(settled(work()))
        await began.wait()
        for _ in range(2):  # nor does a second one hurry it
            waiting.cancel()
            await asyncio.sleep(0)
        assert not waiting.done()
        go_on.set()

    assert done.is_set()
    assert waiting.cancelled()


async def test_work_that_is_not_decided_is_cancelled() -> None:
    began = asyncio.Event()

    async def work() -> None:
        began.set()
        await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(settled(work(), lambda: False))
        await began.wait()
        waiting.cancel()

    assert waiting.cancelled()


async def test_results_and_errors_are_those_of_the_work() -> None:
    async def fails() -> None:
        raise ValueError("as it is")

    assert await settled(asyncio.sleep(0, "result")) == "result"
    with pytest.raises(ValueError, match="as it is"):
        await settled(fails())
