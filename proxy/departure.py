"""A Glint that is about to stop says so first, so that load balancers send their requests elsewhere."""

import asyncio

import structlog
from aiohttp import hdrs, web

log = structlog.get_logger(__name__)


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
