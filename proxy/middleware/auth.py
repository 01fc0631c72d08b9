"""Who asks: from a token to a `Context`, before any handler is looked for."""

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from proxy.api.negotiation import OPEN_PATHS
from proxy.middleware.state import SERVICES, STATE


@web.middleware
async def auth(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Open paths pass unasked. Raises Unauthenticated, and Unavailable if nobody can tell now."""
    state = request[STATE]
    if state.path == "/" or state.path in OPEN_PATHS:
        return await handler(request)
    state.context = await request.app[SERVICES].authenticator.authenticate(
        request.headers, method=request.method, path=state.path, request_id=state.request_id
    )
    structlog.contextvars.bind_contextvars(project_id=state.context.project_id, user_id=state.context.user_id)
    return await handler(request)
