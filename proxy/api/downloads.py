"""GET /v2/images/{id}/file: from a request to a reader and a span; the transfer does the rest.

Source of the order of checks: glance/api/v2/image_data.py, ImageDataController.download.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from http import HTTPStatus

import structlog
from aiohttp import hdrs, web

from cache import Blob, Reader, Source, Span
from proxy import ranges
from proxy.api import access
from proxy.api.call import Call, DeliveryCall
from proxy.blobs import active_locations, blob_of
from proxy.errors import BadRequest, Forbidden, RangeNotSatisfiable
from proxy.policy import image_target
from proxy.services import Delivery, Services
from proxy.transfer import ClientGone, while_there
from upstream.errors import DataNotFound, Invalid, NotSupported, Unavailable
from upstream.types import Image, Location, Status

log = structlog.get_logger(__name__)

_UNKNOWN_SIZE = 2**63 - 1


async def download(call: Call) -> web.StreamResponse:
    """200, or 206 for a range; 204 if the image has no data, as clients of Glance expect it."""
    with call.services.cache.client():
        image = await call.image()
        if image.status is Status.DEACTIVATED and not call.context.is_admin:
            raise Forbidden("The requested image has been deactivated. Its data cannot be downloaded.")
        access.enforce(call, "download_image", image)
        preferred = _preferred_stores(call, image)
        if not active_locations(image):
            raise DataNotFound("the image")
        part, may_fill = asked_part(call.request, image), _may_fill(call, image)
        return await deliver(call, image, part, partial(source_of, call.services, image, preferred), may_fill=may_fill)


async def deliver(
    call: DeliveryCall,
    image: Image,
    part: Span | None,
    make_source: Callable[[], Source],
    *,
    may_fill: bool,
    headers: Mapping[str, str] | None = None,
) -> web.StreamResponse:
    """Send the image or the part of it, with `headers` beside ours. Who asks was found to be allowed to have it.

    `make_source` is called for each attempt: what one reader remembers of its places is nothing to another one.
    """
    try:
        return await _delivered(call, image, make_source(), part, part, may_fill=may_fill, headers=headers or {})
    except NotSupported:
        if part is None:
            raise
    log.info("download.needs_a_fill", key=image.id)  # no store can give a part: it is had from the whole
    return await _delivered(call, image, make_source(), None, part, may_fill=True, headers=headers or {})


async def _delivered(
    call: DeliveryCall,
    image: Image,
    source: Source,
    opened: Span | None,
    sent: Span | None,
    *,
    may_fill: bool,
    headers: Mapping[str, str],
) -> web.StreamResponse:
    """Send a part (None: the whole) of what a reader of another part, or of the whole, gives."""
    async with AsyncExitStack() as stack:
        try:
            async with while_there(call.request):
                reader = await stack.enter_async_context(
                    open_image(call.services, image, source, part=opened, may_fill=may_fill)
                )
        except ClientGone:
            call.services.instruments.downloads_aborted.labels("client").inc()
            raise
        return await _send(call, image, reader, sent, headers)


async def _send(
    call: DeliveryCall, image: Image, reader: Reader, part: Span | None, headers: Mapping[str, str]
) -> web.StreamResponse:
    span = part or Span(0, _UNKNOWN_SIZE if image.size_bytes is None else image.size_bytes)
    response = web.StreamResponse(status=HTTPStatus.PARTIAL_CONTENT if part else HTTPStatus.OK, headers=headers)
    response.content_type = "application/octet-stream"
    if image.checksum:
        response.headers[hdrs.CONTENT_MD5] = image.checksum  # hex and of the whole image, as Glance has it
    if image.size_bytes is not None:
        response.content_length = span.length
    if part:
        response.headers[hdrs.CONTENT_RANGE] = f"bytes {part.start}-{part.stop - 1}/{image.size_bytes}"
    return await call.services.sender.send(call.request, response, reader, span)


@asynccontextmanager
async def open_image(
    services: Delivery,
    image: Image,
    source: Source,
    *,
    part: Span | None = None,
    may_fill: bool = True,
) -> AsyncIterator[Reader]:
    """A reader for the image's bytes: in place if they lie in a local store, else through the cache.

    `source` is read by a fill that this starts.

    Raises what the stores raise, also of a reader that opens them later: DataNotFound, Denied, Unavailable; and where
    a `part` is asked for, NotSupported of a store that cannot read from there.
    """
    blob, locations = blob_of(image), active_locations(image)
    start, stop = (part.start, part.stop) if part else (0, None)
    async with AsyncExitStack() as stack:
        reader = await _open_local(services, blob, locations, source, stack)
        try:
            if reader is None:
                reader = await stack.enter_async_context(
                    services.cache.open(blob, source, start=start, stop=stop, may_fill=may_fill)
                )
            yield reader
        except (Invalid, NotSupported) as error:
            if part is not None and isinstance(error, NotSupported):
                raise
            # Of a registered location this is the store's fault, not the request's.
            raise Unavailable("the image's store", str(error)) from error


async def _open_local(
    services: Delivery, blob: Blob, locations: tuple[Location, ...], source: Source, stack: AsyncExitStack
) -> Reader | None:
    path = await services.stores.local_path(locations, blob.size_bytes) if blob.size_bytes else None
    if path is None:
        return None
    try:
        return await stack.enter_async_context(services.cache.open_local(path, blob, source))
    except OSError:
        return None  # gone since it was looked at: then as from any other store, whose errors have names


def source_of(services: Services, image: Image, preferred: Sequence[str] = ()) -> Source:
    """What a fill of the image reads: its locations, the preferred stores first, then the heaviest."""
    return services.stores.source(active_locations(image), image.size_bytes, preferred)


def _preferred_stores(call: Call, image: Image) -> tuple[str, ...]:
    """Those of `?prefer=a,b`. Raises BadRequest if one of them is none, Forbidden."""
    named = call.request.query.get("prefer", "")
    preferred = tuple(store for name in named.split(",") if (store := name.strip()))
    if not preferred:
        return ()
    access.enforce(call, "download_from_store", image)
    known = [info.id for info in call.services.stores.infos()]
    if not set(preferred) <= set(known):
        raise BadRequest(f"One of the stores in prefer={named} is not configured; there are {', '.join(known)}.")
    return preferred


def _may_fill(call: Call, image: Image) -> bool:
    """Whether the answer may be cached: not on `Cache-Control: no-store`, for a sweep over all images.

    Only who may say what is cached is obeyed: else anyone could have the stores read for every request of his.
    Source: RFC 9111, section 5.2.1.5.
    """
    if not says_no_store(call.request):
        return True
    return not call.services.policy.allows("cache_image", call.context, image_target(image))


def says_no_store(request: web.Request) -> bool:
    lines = request.headers.getall(hdrs.CACHE_CONTROL, ())
    return "no-store" in {directive.strip().lower() for line in lines for directive in line.split(",")}


def asked_part(request: web.Request, image: Image) -> Span | None:
    """The part that the client asks for; None for the whole image. Raises BadRequest, RangeNotSatisfiable."""
    if image.size_bytes is not None:
        return ranges.parse(request.headers, image.size_bytes)
    if hdrs.RANGE in request.headers and hdrs.IF_RANGE in request.headers:
        return None
    if hdrs.RANGE in request.headers or hdrs.CONTENT_RANGE in request.headers:
        raise RangeNotSatisfiable("The size of this image is not known, so no part of it can be named.")
    return None
