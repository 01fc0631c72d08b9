"""The HTTP application: two middlewares, the steps before each handler, then the handler that the table names."""

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from proxy.api.call import SCHEMAS, Call
from proxy.api.negotiation import OPEN_PATHS
from proxy.api.routes import RouteTable
from proxy.api.schemas import Schemas
from proxy.errors import BadRequest, Forbidden
from proxy.middleware.auth import identify
from proxy.middleware.errors import errors
from proxy.middleware.observe import observe
from proxy.middleware.request_id import name_request, name_response
from proxy.middleware.state import SERVICES, STATE
from proxy.middleware.versions import locate, tell_pages
from proxy.services import Services
from upstream.types import Context

TABLE = web.AppKey("table", RouteTable)
_ALL = web.AppKey("all services", Services)
NO_BODY = "A body is not expected with this request."


def build_app(services: Services) -> web.Application:
    """The application; whoever runs it owns `services`. JSON bodies are limited, uploads read past that limit."""
    app = web.Application(
        middlewares=[observe, errors],
        client_max_size=services.config.api.json_body_max,
    )
    app[SERVICES] = app[_ALL] = services
    app[SCHEMAS] = Schemas(services.config.api, services.custom_properties)
    app[TABLE] = RouteTable()
    app.on_response_prepare.append(name_response)
    app.on_response_prepare.append(tell_pages)
    app.on_response_prepare.append(services.departure.end_connection)
    send_all_to(dispatch, app)
    return app


async def dispatch(request: web.Request) -> web.StreamResponse:
    """Answer by the row of the route table.

    OPTIONS is answered here, as by Glance's CORS filter: with nothing but what `tell_pages` adds.
    """
    state, services = request[STATE], request.app[_ALL]
    locate(request, state, services.config)
    if request.method == hdrs.METH_OPTIONS and state.path not in OPEN_PATHS:
        return web.Response()
    name_request(request, state, services.config.api.max_request_id_length)
    await identify(request, state, services.authenticator)
    route, parameters = request.app[TABLE].find(request.method, state.path)
    state.route = route
    assert state.entrance is not None
    call = Call(
        request=request,
        context=state.context or Context(),
        services=services,
        parameters=parameters,
        entrance=state.entrance,
    )
    if route.mutates and call.context.read_only:
        raise Forbidden("Read-only access")
    if route.no_body and call.has_body:
        raise BadRequest(NO_BODY)
    return await route.handler(call)


class _EveryPath(web.PlainResource):
    """Also `*`, and what is no path. aiohttp looks a plain resource up and matches no pattern, which is dearer."""

    def __init__(self) -> None:
        super().__init__("/")

    def _match(self, path: str) -> dict[str, str]:
        return {}


def send_all_to(handler: Handler, app: web.Application) -> None:
    """Whatever is asked. The router of aiohttp knows no version prefixes, so it routes nothing."""
    resource = _EveryPath()
    resource.add_route("*", handler, expect_handler=_expect_later)
    app.router.register_resource(resource)


async def _expect_later(request: web.Request) -> None:
    """Nothing yet: a client that waits for 100 Continue gets it when the checks before the body have passed."""
