"""PUT of image data: everything that can be refused without the data is refused before they are asked for."""

from aiohttp import hdrs, web

from proxy.api import access
from proxy.api.call import Call, empty_response
from proxy.api.location_changes import check_can_leave_queue
from proxy.errors import BadRequest, Gone, StateConflict, UnsupportedMediaType
from proxy.uploads import Upload, begin_saving, pieces
from upstream.types import Image, Status

_OCTETS = "application/octet-stream"
_SIZE_HEADER = "x-openstack-image-size"
_STORE_HEADER = "x-image-meta-store"


async def upload(call: Call) -> web.StreamResponse:
    """Source of the order of checks: glance/api/v2/image_data.py, upload."""
    check_media_type(call)
    expected_bytes = announced_bytes(call)
    await call.services.quotas.check_size(call.context, max(expected_bytes or 0, 0))
    store = _store(call)
    image = await call.image()
    access.enforce(call, "upload_image", image)
    _check_can_save(image)
    _check_takes_data(call, store)
    image = await begin_saving(call.services, call.context, image)
    incoming = Upload(call.services, call.context, image, expected_bytes)
    await call.accept_body()
    data = pieces(call.request.content, idle_s=call.services.config.server.client_idle_s)
    await incoming.receive(data, store)
    return empty_response()


def check_media_type(call: Call) -> None:
    sent = call.request.headers.get(hdrs.CONTENT_TYPE)
    if sent is None or sent.partition(";")[0].strip() != _OCTETS:
        raise UnsupportedMediaType(f"Invalid content type {sent}: image data are sent as {_OCTETS}.")


def announced_bytes(call: Call) -> int | None:
    announced = call.request.headers.get(_SIZE_HEADER)
    if announced is None:
        return call.request.content_length or None
    try:
        return int(announced) or None
    except ValueError:
        raise BadRequest(f"Invalid image size in the header {_SIZE_HEADER}: {announced[:40]!r}.") from None


def _store(call: Call) -> str | None:
    """The store that the data go to, None for the default. Raises BadRequest."""
    named = call.request.headers.get(_STORE_HEADER)
    known = [info.id for info in call.services.stores.infos()]
    if named is not None and named not in known:
        raise BadRequest(f"There is no store {named!r}; there are {', '.join(known)}.")
    return named


def _check_takes_data(call: Call, named: str | None) -> None:
    """Raises Gone if the store takes none."""
    infos = call.services.stores.infos()
    chosen = next((info for info in infos if (info.is_default if named is None else info.id == named)), None)
    if chosen is None or chosen.is_read_only:
        raise Gone("Adding images to this store is disabled.")


def _check_can_save(image: Image) -> None:
    if image.status is not Status.QUEUED:
        raise StateConflict(f"Image status transition from {image.status} to saving is not allowed")
    check_can_leave_queue(image)
