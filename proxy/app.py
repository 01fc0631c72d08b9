"""The HTTP application: middlewares from outside to inside, then the handler that the route table names."""

from aiohttp import web

from proxy.api.call import SCHEMAS, Call
from proxy.api.routes import RouteTable
from proxy.api.schemas import Schemas
from proxy.errors import BadRequest, Forbidden
from proxy.middleware.auth import auth
from proxy.middleware.errors import errors
from proxy.middleware.observe import observe
from proxy.middleware.request_id import name_response, request_id
from proxy.middleware.state import SERVICES, STATE
from proxy.middleware.versions import tell_pages, versions
from proxy.services import Services
from upstream.types import Context

TABLE = web.AppKey("table", RouteTable)
_ALL = web.AppKey("all services", Services)
NO_BODY = "A body is not expected with this request."


def build_app(services: Services) -> web.Application:
    """The application; whoever runs it owns `services`. JSON bodies are limited, uploads read past that limit."""
    app = web.Application(
        middlewares=[observe, errors, versions, request_id, auth],
        client_max_size=services.config.api.json_body_max,
    )
    app[SERVICES] = app[_ALL] = services
    app[SCHEMAS] = Schemas(services.config.api, services.custom_properties)
    app[TABLE] = RouteTable()
    app.on_response_prepare.append(name_response)
    app.on_response_prepare.append(tell_pages)
    app.on_response_prepare.append(services.departure.end_connection)
    app.router.add_route("*", r"/{path:[\s\S]*}", dispatch, expect_handler=expect_later)
    return app


async def dispatch(request: web.Request) -> web.StreamResponse:
    """Answer by the row of the route table. aiohttp's own router knows no version prefixes, so it routes nothing."""
    state, services = request[STATE], request.app[_ALL]
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


async def expect_later(request: web.Request) -> None:
    """Nothing yet: a client that waits for 100 Continue gets it when the checks before the body have passed."""
