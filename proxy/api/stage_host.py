"""Requests that go on to the host where an image's data are staged, as the caller's own.

Source: glance/api/v2/images.py, _proxy_request_to_host.
"""

from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import structlog
from aiohttp import hdrs, web

from proxy.api.call import Call, empty_response
from proxy.config import ServerConfig
from upstream.errors import BrokenAnswer, Denied, Unavailable
from upstream.registry import HASH_HOST, STAGE_HOST
from upstream.stage_hosts import SERVICE, HostAnswer
from upstream.types import Image

log = structlog.get_logger(__name__)

_PASSED_ON = ("X-Auth-Token", "X-Service-Token", "X-Image-Meta-Store", hdrs.ACCEPT)
_MARK = "1.1 glint-stage-host"


def own_url(config: ServerConfig) -> str | None:
    """By which other hosts reach what is staged here. A public URL is everybody's, and then nothing goes on."""
    return config.worker_self_reference_url or config.public_endpoint


def of(call: Call, image: Image) -> str | None:
    """The URL of the host that has to do it; None: we do it.

    What came here from another host goes no further: whoever wrote that URL meant us, or means nobody.
    """
    if any(_MARK in line for line in call.request.headers.getall(hdrs.VIA, ())):
        return None
    own = own_url(call.services.config.server)
    hosts = (image.properties.get(name) for name in (STAGE_HOST, HASH_HOST))
    return next((host for host in hosts if host and host != own), None)


async def start_import(call: Call, host: str, document: Any) -> web.StreamResponse:
    """Raises Unreachable, BrokenAnswer."""
    return _relayed(await _asked(call, host, "/import", document), HTTPStatus.ACCEPTED)


async def delete_image(call: Call, host: str) -> web.StreamResponse | None:
    """None if the host cannot be asked: then the image goes from here, and its staged data when that host starts again.

    Raises NotFound if the image is gone by now.
    """
    try:
        return _relayed(await _asked(call, host, ""), HTTPStatus.NO_CONTENT)
    except (Unavailable, Denied) as error:
        log.warning("stage_host.not_asked", image=call.image_id, host=host, reason=str(error))
    await call.image()
    return None


async def _asked(call: Call, host: str, rest: str, document: Any = None) -> HostAnswer:
    """The request id goes along, so that both hosts log the same one."""
    log.info("stage_host.asked", image=call.image_id, method=call.request.method, host=host)
    headers = {name: call.request.headers[name] for name in _PASSED_ON if name in call.request.headers}
    headers[hdrs.VIA] = ", ".join([*call.request.headers.getall(hdrs.VIA, ()), _MARK])
    if call.context.request_id:
        headers["X-Openstack-Request-Id"] = call.context.request_id
    url = f"{host.rstrip('/')}/v2/images/{quote(call.image_id)}{rest}"
    return await call.services.stage_hosts.ask(call.request.method, url, headers, document)


def _relayed(answer: HostAnswer, success: HTTPStatus) -> web.Response:
    """Its refusal as it said it. Raises BrokenAnswer for what is neither that nor a success."""
    if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
        return empty_response(success)
    if answer.status < HTTPStatus.BAD_REQUEST:
        raise BrokenAnswer(SERVICE, f"it answered with status {answer.status}")
    headers = {hdrs.CONTENT_TYPE: answer.content_type} if answer.content_type else {}
    return web.Response(status=answer.status, headers=headers, body=answer.body)
