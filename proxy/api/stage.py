"""PUT of data that are to be imported later: kept as they come, looked at when they are imported."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import structlog
from aiohttp import web

from proxy.api import access, image_data, stage_host
from proxy.api.call import Call, empty_response
from proxy.errors import BadRequest, Gone, NoSuchResource, StateConflict, TooLarge
from proxy.uploads import pieces
from upstream.errors import Conflict, NotFound, UpstreamError
from upstream.registry import STAGE_HOST, ImageChanges
from upstream.types import GLINT, Image, Status

log = structlog.get_logger(__name__)


async def stage(call: Call) -> web.StreamResponse:
    """Source of the order of checks: glance/api/v2/image_data.py, stage."""
    if "glance-direct" not in call.services.config.api.import_methods:
        raise NoSuchResource("'glance-direct' method is not available at this site.")
    image_data.check_media_type(call)
    expected_bytes = image_data.announced_bytes(call)
    await call.services.quotas.check_staging(call.context, expected_bytes or 0)
    image = await call.image()
    access.enforce(call, "modify_image", image)
    if image.status is not Status.QUEUED:
        raise StateConflict(f"Image status transition from {image.status} to uploading is not allowed")
    uploading = ImageChanges(columns={"status": Status.UPLOADING})
    ceiling = await call.services.quotas.uploading(call.context)
    await call.services.registry.images.update(
        call.context, image.id, uploading, from_status=(Status.QUEUED,), ceiling=ceiling
    )
    try:
        await _receive(call, image, expected_bytes)
    except BaseException:
        await _unstage(call, image)
        raise
    return empty_response()


async def _receive(call: Call, image: Image, expected_bytes: int | None) -> None:
    await call.accept_body()
    # Nothing may be left of an earlier life of these data, such as a crash between two steps.
    await call.services.staging.remove(image.id)
    data = pieces(call.request.content, idle_s=call.services.config.server.client_idle_s)
    limited = _limited(data, expected_bytes, call.services.config.api.image_size_cap)
    async with aclosing(limited) as chunks:
        size_bytes = await call.services.staging.write(image.id, chunks, expected_bytes)
    own_url = stage_host.own_url(call.services.config.server)
    staged = ImageChanges(
        columns={"size": size_bytes},
        set_properties={STAGE_HOST: own_url} if own_url else {},
        removed_properties=() if own_url else (STAGE_HOST,),
    )
    try:
        await call.services.registry.images.update(call.context, image.id, staged, from_status=(Status.UPLOADING,))
    except (NotFound, Conflict) as error:
        raise Gone(f"Image {image.id} was deleted while its data came in.") from error


async def _limited(data: AsyncGenerator[bytes], expected_bytes: int | None, limit_bytes: int) -> AsyncGenerator[bytes]:
    """The same data. Raises before their end if they are not as many as announced, or too many."""
    got_bytes = 0
    async with aclosing(data):
        async for piece in data:
            got_bytes += len(piece)
            if got_bytes > limit_bytes:
                raise TooLarge(f"The image has more than the {limit_bytes} bytes that are allowed.")
            if expected_bytes is not None and got_bytes > expected_bytes:
                raise BadRequest(f"Size exceeds: expected {expected_bytes} bytes, got {got_bytes} bytes")
            yield piece
    if expected_bytes is not None and got_bytes != expected_bytes:
        raise BadRequest(f"Size mismatch: expected {expected_bytes} bytes, got {got_bytes} bytes")


async def _unstage(call: Call, image: Image) -> None:
    """Back to where an upload may begin. An image that was deleted meanwhile stays deleted."""
    try:
        await call.services.staging.remove(image.id)
        queued = ImageChanges(columns={"status": Status.QUEUED, "size": None})
        await call.services.registry.images.update(GLINT, image.id, queued, from_status=(Status.UPLOADING,))
    except (NotFound, Conflict):
        log.info("stage.image_gone", image=image.id)
    except UpstreamError as error:
        log.error("stage.left_uploading", image=image.id, error=type(error).__name__)
