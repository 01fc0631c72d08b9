"""Whether this Glint should get requests, for load balancers. An operator takes it out by creating a file."""

import asyncio
from http import HTTPStatus

from aiohttp import hdrs, web

from proxy.api.call import Call, json_response


async def show(call: Call) -> web.StreamResponse:
    status = await _status(call)
    reason = "OK" if status is HTTPStatus.OK else "DISABLED BY FILE"
    accept = call.request.headers.get(hdrs.ACCEPT, "")
    if "application/json" in accept:
        return json_response({"detailed": False, "reasons": [reason]}, status)
    if "text/html" in accept:
        page = f"<html><head><title>Healthcheck Status</title></head><body><p>{reason}</p></body></html>"
        return web.Response(text=page, status=status, content_type="text/html")
    return web.Response(text=reason, status=status)


async def probe(call: Call) -> web.StreamResponse:
    status = await _status(call)
    return web.Response(status=HTTPStatus.NO_CONTENT if status is HTTPStatus.OK else status)


async def _status(call: Call) -> HTTPStatus:
    file = call.services.config.api.healthcheck_disable_file
    if file is not None and await asyncio.to_thread(file.exists):
        return HTTPStatus.SERVICE_UNAVAILABLE
    return HTTPStatus.OK
