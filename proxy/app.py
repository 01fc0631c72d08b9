"""The HTTP application: what holds a request from both sides, the steps before each handler, then the handler."""

from dataclasses import dataclass
from functools import partial

from aiohttp import hdrs, web

from proxy.api.call import Call
from proxy.api.negotiation import OPEN_PATHS
from proxy.api.routes import RouteTable
from proxy.api.schemas import Schemas
from proxy.direct import DirectApp
from proxy.errors import BadRequest, Forbidden
from proxy.middleware.auth import identify
from proxy.middleware.errors import errors
from proxy.middleware.observe import observe
from proxy.middleware.request_id import name_request, name_response
from proxy.middleware.state import STATE
from proxy.middleware.versions import locate, tell_pages
from proxy.services import Services
from upstream.types import Context

NO_BODY = "A body is not expected with this request."


def build_app(services: Services) -> DirectApp:
    """The application; whoever runs it owns `services`. JSON bodies are limited, uploads read past that limit."""
    schemas = Schemas(services.config.api, services.custom_properties)
    handler = partial(errors, handler=_Steps(services, schemas, RouteTable()).dispatch, services=services)
    return DirectApp(
        partial(observe, handler=handler, services=services),
        signals=(name_response, partial(tell_pages, services.config.cors), services.departure.end_connection),
        body_max=services.config.api.json_body_max,
    )


@dataclass(frozen=True, slots=True)
class _Steps:
    services: Services
    schemas: Schemas
    table: RouteTable

    async def dispatch(self, request: web.Request) -> web.StreamResponse:
        """Answer by the row of the route table.

        OPTIONS is answered here, as by Glance's CORS filter: with nothing but what `tell_pages` adds.
        """
        state, services = request[STATE], self.services
        locate(request, state, services.config)
        if request.method == hdrs.METH_OPTIONS and state.path not in OPEN_PATHS:
            return web.Response()
        name_request(request, state, services.config.api.max_request_id_length)
        await identify(request, state, services.authenticator)
        route, parameters = self.table.find(request.method, state.path)
        state.route = route
        assert state.entrance is not None
        call = Call(
            request=request,
            context=state.context or Context(),
            services=services,
            parameters=parameters,
            entrance=state.entrance,
            schemas=self.schemas,
        )
        if route.mutates and call.context.read_only:
            raise Forbidden("Read-only access")
        if route.no_body and call.has_body:
            raise BadRequest(NO_BODY)
        return await route.handler(call)
