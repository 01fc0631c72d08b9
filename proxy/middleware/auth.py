"""Who asks: from a token to a `Context`, before any handler is looked for."""

from aiohttp import web

from proxy.api.negotiation import OPEN_PATHS
from proxy.authentication import Authenticator
from proxy.logs import log_with
from proxy.middleware.state import State


async def identify(request: web.Request, state: State, authenticator: Authenticator) -> None:
    """Open paths pass unasked. Raises Unauthenticated, and Unavailable if nobody can tell now."""
    if state.path == "/" or state.path in OPEN_PATHS:
        return
    who = state.context = await authenticator.authenticate(
        request.headers, method=request.method, path=state.path, request_id=state.request_id
    )
    log_with({"request_id": state.request_id, "project_id": who.project_id, "user_id": who.user_id})
