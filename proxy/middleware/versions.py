"""Finds the version of the API a request speaks, and with it the path in the route table."""

from urllib.parse import unquote

from aiohttp import hdrs, web

from proxy.api.cors import CorsConfig, response_headers
from proxy.api.forwarding import Entrance, check_host, forwarded
from proxy.api.negotiation import api_path, resolved
from proxy.config import Config
from proxy.errors import BadRequest
from proxy.middleware.state import STATE, State


def locate(request: web.Request, state: State, config: Config) -> None:
    """Raises BadRequest for a path that is not UTF-8, and for a host that is none: answers name it."""
    state.entrance = entrance_of(request, believes=config.server.enable_proxy_headers_parsing)
    path = path_of(request)
    if "\0" in path:
        raise BadRequest("The URL has a NUL character.")
    state.path = api_path(path, request.headers.get(hdrs.ACCEPT, ""), with_cache=config.api.cache_api)


def entrance_of(request: web.Request, *, believes: bool) -> Entrance:
    """As the client's own request says it; `believes`: or the proxies before us. Raises BadRequest for what is no host.

    Where a request names no host, our address: aiohttp would look up our name.
    """
    host = request.headers.get(hdrs.HOST, "")
    check_host(host)
    if not host:
        address, port = request.get_extra_info("sockname", ("localhost", 0))[:2]  # none is left if the client has left
        host = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    entrance = Entrance(scheme=request.scheme, host=host, client=request.remote)
    return forwarded(entrance, request.headers) if believes else entrance


def path_of(request: web.Request) -> str:
    """Raises BadRequest for one that is not UTF-8."""
    try:
        path = unquote(resolved(request.rel_url.raw_path), errors="strict")
        path.encode()
    except UnicodeError:
        raise BadRequest("The URL has characters that are not UTF-8.") from None
    return path


def tell_pages(cors: CorsConfig, request: web.Request, response: web.StreamResponse) -> None:
    """A signal: what pages of other origins may do with the answer, whichever it is."""
    state = request.get(STATE)
    if state is None or state.path == "/healthcheck":
        return
    if said := response_headers(cors, request.method, request.headers):
        response.headers.update(said)
