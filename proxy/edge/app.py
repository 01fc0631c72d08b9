"""The HTTP application before an existing Glance: the outer middlewares of the other one, and a table of its own."""

from dataclasses import dataclass

from aiohttp import hdrs, web

from proxy.api.negotiation import api_path
from proxy.app import NO_BODY, send_all_to
from proxy.edge.call import EdgeCall
from proxy.edge.forwarding import RELAYED
from proxy.edge.headers import REQUEST_ID
from proxy.edge.routes import EdgeTable
from proxy.edge.services import EdgeServices
from proxy.errors import BadRequest
from proxy.middleware.errors import errors
from proxy.middleware.observe import observe
from proxy.middleware.request_id import name_request
from proxy.middleware.state import SERVICES, STATE
from proxy.middleware.versions import entrance_of, path_of
from upstream.types import Context


@dataclass(frozen=True, slots=True)
class _Parts:
    services: EdgeServices
    table: EdgeTable


_PARTS = web.AppKey("edge", _Parts)


def build_edge_app(services: EdgeServices) -> web.Application:
    """The application; whoever runs it owns `services`."""
    app = web.Application(middlewares=[observe, errors])
    app[SERVICES] = services
    app[_PARTS] = _Parts(services, EdgeTable(cache_api=services.config.api.cache_api))
    app.on_response_prepare.append(_name_response)
    app.on_response_prepare.append(services.departure.end_connection)
    send_all_to(_dispatch, app)
    return app


async def _dispatch(request: web.Request) -> web.StreamResponse:
    """Raises BadRequest for a path that is not UTF-8, for a host that is none: links would name it; and for a body."""
    state, parts = request[STATE], request.app[_PARTS]
    name_request(request, state, parts.services.config.api.max_request_id_length)
    believes = parts.services.config.server.enable_proxy_headers_parsing
    state.entrance = entrance_of(request, believes=believes)
    state.path = api_path(path_of(request), request.headers.get(hdrs.ACCEPT, ""))
    found = parts.table.find(request.method, state.path)
    state.route = found.route
    call = EdgeCall(
        request=request,
        context=Context(),
        services=parts.services,
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


async def _name_response(request: web.Request, response: web.StreamResponse) -> None:
    """A signal: answers of our own bear the request's name; what Glance answered is left as it is."""
    state = request.get(STATE)
    if state is None:
        return
    state.started = response
    is_open = state.route is not None and not state.route.needs_auth
    if RELAYED not in request and not is_open and state.request_id:
        response.headers.setdefault(REQUEST_ID.lower(), state.request_id)
