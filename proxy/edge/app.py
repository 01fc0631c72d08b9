"""The HTTP application before an existing Glance: the other one's hold on a request, and a table of its own."""

from dataclasses import dataclass
from functools import partial

from aiohttp import hdrs, web

from proxy.api.negotiation import api_path
from proxy.app import NO_BODY
from proxy.direct import DirectApp
from proxy.edge.call import EdgeCall
from proxy.edge.forwarding import RELAYED
from proxy.edge.headers import REQUEST_ID
from proxy.edge.routes import EdgeTable
from proxy.edge.services import EdgeServices
from proxy.errors import BadRequest
from proxy.middleware.errors import errors
from proxy.middleware.observe import observe
from proxy.middleware.request_id import name_request
from proxy.middleware.state import STATE
from proxy.middleware.versions import entrance_of, path_of
from upstream.types import Context


def build_edge_app(services: EdgeServices) -> DirectApp:
    """The application; whoever runs it owns `services`."""
    steps = _Steps(services, EdgeTable(cache_api=services.config.api.cache_api))
    handler = partial(errors, handler=steps.dispatch, services=services)
    return DirectApp(
        partial(observe, handler=handler, services=services),
        signals=(_name_response, services.departure.end_connection),
    )


@dataclass(frozen=True, slots=True)
class _Steps:
    services: EdgeServices
    table: EdgeTable

    async def dispatch(self, request: web.Request) -> web.StreamResponse:
        """Raises BadRequest for a path that is not UTF-8, for a host that is none (links would name it), for a body."""
        state, services = request[STATE], self.services
        name_request(request, state, services.config.api.max_request_id_length)
        believes = services.config.server.enable_proxy_headers_parsing
        state.entrance = entrance_of(request, believes=believes)
        state.path = api_path(path_of(request), request.headers.get(hdrs.ACCEPT, ""))
        found = self.table.find(request.method, state.path)
        state.route = found.route
        call = EdgeCall(
            request=request,
            context=Context(),
            services=services,
            parameters=found.parameters,
            entrance=state.entrance,
            request_id=state.request_id,
        )
        if found.no_body and call.has_body:
            raise BadRequest(NO_BODY)
        response = await found.handler(call)
        if not response.prepared:
            await response.prepare(request)  # now, and not when the request has been logged and counted
            await response.write_eof()
        return response


def _name_response(request: web.Request, response: web.StreamResponse) -> None:
    """A signal: answers of our own bear the request's name; what Glance answered is left as it is."""
    state = request.get(STATE)
    if state is None:
        return
    state.started = response
    is_open = state.route is not None and not state.route.needs_auth
    if RELAYED not in request and not is_open and state.request_id:
        response.headers.setdefault(REQUEST_ID.lower(), state.request_id)
