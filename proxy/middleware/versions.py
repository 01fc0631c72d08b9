"""Finds the version of the API a request speaks, and with it the path in the route table."""

import re
from urllib.parse import unquote

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from proxy.api.negotiation import api_path
from proxy.errors import BadRequest
from proxy.middleware.state import SERVICES, STATE

_HOST = re.compile(r"[A-Za-z0-9._~:\[\]%!$&'()*+,;=-]*")  # RFC 3986, section 3.2.2


@web.middleware
async def versions(request: web.Request, handler: Handler) -> web.StreamResponse:
    """OPTIONS is answered here, as by Glance's CORS filter when no origin is allowed: with nothing.

    Raises BadRequest for a path that is not UTF-8, and for a host that is none: answers name it.
    """
    if not _HOST.fullmatch(request.headers.get(hdrs.HOST, "")):
        raise BadRequest("The header Host names no host.")
    try:
        path = unquote(request.rel_url.raw_path, errors="strict")
        path.encode()
    except UnicodeError:
        raise BadRequest("The URL has characters that are not UTF-8.") from None
    if "\0" in path:
        raise BadRequest("The URL has a NUL character.")
    if request.method == hdrs.METH_OPTIONS and path.startswith("/v2"):
        return web.Response()
    with_cache = request.app[SERVICES].config.api.cache_api
    request[STATE].path = api_path(path, request.headers.get(hdrs.ACCEPT, ""), with_cache=with_cache)
    return await handler(request)
