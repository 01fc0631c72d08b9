"""From an exception to an answer, in the three forms that webob gives errors and that clients read."""

import html
import json
import math
from http import HTTPStatus

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from proxy.api.accept import preferred
from proxy.errors import MethodNotAllowed, RangeNotSatisfiable, UnsupportedMediaType, status_of
from proxy.middleware.state import STATE
from proxy.services import Delivery
from upstream.errors import Unauthenticated, Unavailable

log = structlog.get_logger(__name__)

_TITLES = {
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "Request Entity Too Large",
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE: "Request Range Not Satisfiable",
}
_KINDS = ("text/html", "application/json")
_INTERNAL = "The server met an error that it did not expect. Its log has the details under the request id."
_UNAUTHORIZED = "This needs a valid token in the header X-Auth-Token."

_HTML = """<html>
 <head>
  <title>{status}</title>
 </head>
 <body>
  <h1>{status}</h1>
  {message}<br /><br />


 </body>
</html>"""


async def errors(request: web.Request, *, handler: Handler, services: Delivery) -> web.StreamResponse:
    """Everything that handlers raise ends here. Of what nobody expected the client learns nothing."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        status = HTTPStatus(error.status)
        return error_response(request, status, error.text or status.description)
    except Exception as error:
        if (started := request[STATE].started) is not None:
            return _cut(request, started, error)
        if request.transport is None and isinstance(error, ConnectionError):
            raise
        return _answer(request, error, services)


def _answer(request: web.Request, error: Exception, services: Delivery) -> web.StreamResponse:
    status = status_of(error)
    if status is None:
        log.error("request.failed", error=type(error).__name__, exc_info=error)
        return error_response(request, HTTPStatus.INTERNAL_SERVER_ERROR, _INTERNAL)
    if status is HTTPStatus.NO_CONTENT:
        return web.Response(status=status)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.warning("request.refused", error=type(error).__name__, reason=str(error))
    message = _UNAUTHORIZED if isinstance(error, Unauthenticated) else str(error)
    response = error_response(request, status, message)
    if isinstance(error, MethodNotAllowed):
        response.headers[hdrs.ALLOW] = ", ".join(error.allowed)
    elif isinstance(error, UnsupportedMediaType) and error.accepted:
        response.headers["Accept-Patch"] = ", ".join(error.accepted)
    elif isinstance(error, RangeNotSatisfiable) and error.size_bytes is not None:
        response.headers[hdrs.CONTENT_RANGE] = f"bytes */{error.size_bytes}"  # RFC 9110, section 15.5.17
    elif isinstance(error, Unauthenticated) and (challenge := services.authenticator.challenge):
        response.headers[hdrs.WWW_AUTHENTICATE] = challenge
    elif isinstance(error, Unavailable) and error.retry_after_s is not None:
        response.headers[hdrs.RETRY_AFTER] = str(math.ceil(error.retry_after_s))
    return response


def _cut(request: web.Request, started: web.StreamResponse, error: Exception) -> web.StreamResponse:
    """The head is out, so no status is left: cut the connection, that nobody takes a part for the whole."""
    if not isinstance(error, ConnectionError):
        log.error("response.cut", error=type(error).__name__, exc_info=error)
    if request.transport is not None:
        request.transport.abort()
    return started


def error_response(request: web.Request, status: HTTPStatus, message: str) -> web.Response:
    """The form follows Accept: html or JSON, whichever is liked better, and plain text for who names neither."""
    title = _TITLES.get(status, status.phrase)
    line = f"{status.value} {title}"
    kind = preferred(request.headers.get(hdrs.ACCEPT, ""), _KINDS) or "text/plain"
    if kind == "application/json":
        text = json.dumps({"message": f"{message}<br /><br />\n\n\n", "code": line, "title": title})
    elif kind == "text/html":
        text = _HTML.format(status=line, message=html.escape(message))
    else:
        text = f"{line}\n\n{message}\n\n   "
    body = text.encode("utf-8", "backslashreplace")
    charset = None if kind == "application/json" else "UTF-8"
    return web.Response(body=body, status=status, reason=title, content_type=kind, charset=charset)
