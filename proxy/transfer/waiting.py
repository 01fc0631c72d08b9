"""Waiting for a client's sake, for as long as the client is there."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from proxy.transfer.errors import ClientGone

CLIENT_CHECKED_S = 1.0  # so soon a client that left while waiting is noticed


def has_left(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


@asynccontextmanager
async def while_there(request: web.Request) -> AsyncIterator[None]:
    """What is awaited inside ends within a second of the client's leaving. Raises ClientGone then."""
    loop = asyncio.get_running_loop()
    limit = asyncio.timeout(None)
    looking: asyncio.TimerHandle

    def look() -> None:
        nonlocal looking
        if has_left(request):
            limit.reschedule(loop.time())
        else:
            looking = loop.call_later(CLIENT_CHECKED_S, look)

    looking = loop.call_later(CLIENT_CHECKED_S, look)
    try:
        async with limit:
            yield
    except TimeoutError:
        if limit.expired():
            raise ClientGone("the client left while it waited") from None
        raise
    finally:
        looking.cancel()
