"""What is left on a request for those further in, and for the log written at the end."""

from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from proxy.api.forwarding import Entrance
from proxy.api.routes import Route
from upstream.types import Context


@dataclass(slots=True)
class State:
    """Filled in from outside to inside. `path` is the one of the route table, `started` the response on its way."""

    path: str = ""
    route: Route | None = None
    parameters: Mapping[str, str] | None = None
    request_id: str = ""
    context: Context | None = None
    entrance: Entrance | None = None
    started: web.StreamResponse | None = None


STATE = web.RequestKey("state", State)
