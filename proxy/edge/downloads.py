"""GET /v2/images/{id}/file: Glance says whether, the cache has the bytes.

Each download is allowed by Glance itself, for the very request: it is asked for the same data from a byte on that no
image has. Glance looks at the token, the image, its status and the policy before it looks at the range, and opens no
store for one that lies outside: 416 means yes. One that knows no ranges begins to send, which means yes as well.
Source: glance/api/v2/image_data.py, ImageDataController.download and ResponseSerializer.download.
"""

import asyncio
from functools import partial

import structlog
from aiohttp import ClientResponse, web

from cache import CacheError, Source
from proxy.api.downloads import asked_part, deliver, says_no_store
from proxy.blobs import blob_of
from proxy.edge.call import EdgeCall
from proxy.edge.forwarding import Kept, forward_data, kept
from proxy.edge.headers import to_client, without_range
from proxy.edge.images import source_of
from proxy.edge.managing import may_manage
from proxy.errors import Forbidden
from upstream.errors import Unavailable, UpstreamError
from upstream.registry.glance import Bearer, Operation
from upstream.types import Image, Status

log = structlog.get_logger(__name__)

_BEYOND = "bytes=9223372036854775807-"
_YES = frozenset({200, 206, 416})
_NO = frozenset({400, 401, 403, 404})
_OF_THE_ANSWER = ("vary", "x-openstack-request-id")  # which are right for the download too, as those of CORS are


async def download(call: EdgeCall) -> web.StreamResponse:
    """As Glance answers it, but for where the bytes come from."""
    with call.services.cache.client():
        if call.request.body_exists:
            return await forward_data(call)  # which Glance refuses
        answer, image = await _asked(call)
        if isinstance(answer, Kept) and answer.status in _NO:
            return answer.response(call.request)
        if isinstance(answer, Unavailable) and image is None:
            raise answer
        if image is None or image.status not in {Status.ACTIVE, Status.DEACTIVATED} or not image.size_bytes:
            return await forward_data(call)  # nothing that has bytes which stay as they are
        if isinstance(answer, Unavailable):
            raise answer
        if answer.status not in _YES:
            return answer.response(call.request)
        bearer = call.bearer()
        part = asked_part(call.request, image)
        may_fill = not (says_no_store(call.request) and await may_manage(call))
        await _agree(call, image)
        with call.services.bearers.lent(image.id, bearer):
            return await deliver(
                call, image, part, partial(_source, call, image, bearer), may_fill=may_fill, headers=_said(answer)
            )


async def _asked(call: EdgeCall) -> tuple[Kept | Unavailable, Image | None]:
    """Glance's answer to whether, and what it says of the image; both at once. Raises BadRequest."""
    try:
        async with asyncio.TaskGroup() as group:
            answer = group.create_task(_permission(call))
            image = group.create_task(_image(call))
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return answer.result(), image.result()


async def _permission(call: EdgeCall) -> Kept | Unavailable:
    """An error is no answer yet: Glance fails at any range of an image that has no size."""
    headers = without_range(call.headers())
    headers["Range"] = _BEYOND
    try:
        async with call.services.glance.ask(Operation.AUTHORIZE, "GET", call.target, headers) as answer:
            return await kept(call, answer) if answer.status not in {200, 206} else _head(call, answer)
    except Unavailable as error:
        return error


def _head(call: EdgeCall, answer: ClientResponse) -> Kept:
    """Of data that nobody wants: leaving them costs Glance the connection."""
    headers = to_client(answer.headers, call.entrance, call.services.glance.url)
    return Kept(status=answer.status, reason=answer.reason, headers=headers, body=b"")


async def _image(call: EdgeCall) -> Image | None:
    """None for what we cannot make sense of; then Glance is to answer."""
    try:
        image = await call.image()
        blob_of(image)
    except (UpstreamError, Forbidden, ValueError):
        return None
    return image


async def _agree(call: EdgeCall, image: Image) -> None:
    try:
        await call.services.digests.agree(blob_of(image))
    except (CacheError, TimeoutError) as error:
        log.warning("entry.not_compared", key=image.id, error=type(error).__name__)


def _source(call: EdgeCall, image: Image, bearer: Bearer) -> Source:
    services = call.services
    return source_of(services.glance, services.bearers, services.stores, services.config.registry.glance, image, bearer)


def _said(answer: Kept) -> dict[str, str]:
    return {
        name: value
        for name, value in answer.headers.items()
        if name.lower() in _OF_THE_ANSWER or name.lower().startswith("access-control-")
    }
