"""One event and one count for every request, whatever became of it."""

import time

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from proxy.logs import log_with
from proxy.middleware.state import STATE, State
from proxy.services import Delivery

log = structlog.get_logger(__name__)

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"})
_ABORTED = 499  # nobody was there to read an answer; the number that nginx made known


async def observe(request: web.Request, *, handler: Handler, services: Delivery) -> web.StreamResponse:
    """Outermost, so that its time is the client's time but for the sending of a small body.

    `body_bytes` are those announced; `is_cut` says that the connection was gone, so not all of them need have left.
    """
    state = request[STATE] = State()
    started_s = time.monotonic()
    status, body_bytes, is_cut = _ABORTED, None, True
    log_with({})
    try:
        response = await handler(request)
        status, body_bytes = response.status, response.content_length
        is_cut = request.transport is None or request.transport.is_closing()
        return response
    finally:
        took_s = time.monotonic() - started_s
        route = state.route.path if state.route else "unmatched"
        method = request.method if request.method in _METHODS else "other"
        services.instruments.count_request(method, route, status, took_s)
        log.info(
            "request.finished",
            method=request.method,
            route=route,
            path=request.path,
            status=status,
            body_bytes=body_bytes,
            is_cut=is_cut,
            duration_s=round(took_s, 4),
            remote=state.entrance.client if state.entrance else request.remote,
        )
