"""A Glint that is about to stop says so first, so that load balancers send their requests elsewhere; then it goes."""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog
from aiohttp import hdrs, web

log = structlog.get_logger(__name__)

_STUCK_S = 4.0  # less than what the supervisor leaves a worker to close things
_LOOK_S = 0.5


class Departure:
    """Between the signal to stop and the moment when no more requests are taken.

    A listening socket that closes cuts the connections that wait in its queue, and a kept connection that closes may
    cross the next request on its way: both are failures to a client that may not send its request again. So whoever
    sends requests is told first, by the health check and by each answer.
    """

    def __init__(self) -> None:
        self.is_announced = False

    async def announce(self, notice_s: float) -> None:
        """From now on the health check says 503, and connections end with their next answer. Waits `notice_s`."""
        self.is_announced = True
        if notice_s:
            log.info("server.leaving", notice_s=notice_s)
            await asyncio.sleep(notice_s)

    def end_connection(self, request: web.Request, response: web.StreamResponse) -> None:
        """A signal of the application, when it prepares an answer."""
        if self.is_announced:
            response.headers[hdrs.CONNECTION] = "close"
            response.force_close()


@asynccontextmanager
async def unhindered(stuck_s: Callable[[], float]) -> AsyncIterator[None]:
    """Whoever has left this in peace ends his process, also where a disk keeps a thread of it.

    Nobody can end such a thread, and Python waits for it. `stuck_s` says for how many seconds one has been kept.
    """
    yield
    threading.Thread(target=_go, args=(stuck_s,), name="departure", daemon=True).start()


def _go(stuck_s: Callable[[], float]) -> None:
    """Whatever else would have been closed was made for a process that is killed at any moment."""
    while stuck_s() < _STUCK_S:
        time.sleep(_LOOK_S)
    log.error("server.left", reason="the cache's disk does not give back a thread, so nothing more is closed")
    os._exit(0)
