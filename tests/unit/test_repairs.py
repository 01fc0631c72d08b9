"""What is tried again until the service that it needs is back."""

import asyncio

from structlog.testing import capture_logs

from proxy.repairs import Repairs
from upstream.errors import Unavailable


async def test_each_is_tried_until_it_succeeds_in_the_order_in_which_they_came() -> None:
    repairs, done = Repairs(), asyncio.Event()
    tried: list[str] = []

    async def first() -> None:
        tried.append("first")
        if len(tried) < 3:
            raise Unavailable("registry", "down")

    async def second() -> None:
        tried.append("second")
        done.set()

    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(repairs.run())
        repairs.later("one", first)
        repairs.later("other", second)
        await done.wait()
        running.cancel()
    assert tried == ["first", "first", "first", "second"]


async def test_those_that_are_left_in_the_end_are_told() -> None:
    repairs, tried = Repairs(), asyncio.Event()

    async def vain() -> None:
        tried.set()
        raise Unavailable("registry", "down")

    with capture_logs() as logs:
        async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
            running = tasks.create_task(repairs.run())
            repairs.later("upload 1", vain)
            await tried.wait()
            running.cancel()
    assert {"event": "repair.given_up", "repair": "upload 1", "log_level": "error"} in logs
