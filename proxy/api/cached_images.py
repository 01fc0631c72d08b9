"""/v2/cache: which images lie in this Glint's disk cache, and what an operator may do about it.

Glance has `GET`, `DELETE /v2/cache` and `PUT`, `DELETE /v2/cache/{id}`. Two resources are Glint's own, both under the
policy rule `cache_list`: `GET /v2/cache/{id}` tells how far one image is, `GET /v2/cache/usage` how full the cache is.
Source: glance/api/v2/cached_images.py.
"""

import json
from dataclasses import asdict
from functools import partial
from http import HTTPStatus

from aiohttp import web

from cache import Entry
from proxy.api import access
from proxy.api.call import Call, empty_response, json_response
from proxy.api.downloads import active_locations, blob_of
from proxy.errors import BadRequest
from proxy.prewarm import CacheState, CacheStatus
from upstream.errors import NotFound
from upstream.types import Image, Status

_TARGET = "x-image-cache-clear-target"


async def index(call: Call) -> web.StreamResponse:
    call.services.policy.enforce("cache_list", call.context, {})
    entries = sorted(await call.services.cache.entries(), key=lambda entry: entry.key)
    cached = {entry.key for entry in entries}
    queued = [key for key in call.services.prewarmer.asked if key not in cached]
    return json_response({"cached_images": [_view(entry) for entry in entries], "queued_images": queued})


async def usage(call: Call) -> web.StreamResponse:
    """Bytes that count against the limit: of entries, and promised to fills that run."""
    call.services.policy.enforce("cache_list", call.context, {})
    found = await call.services.cache.usage()
    return json_response(asdict(found) | {"limit_bytes": call.services.config.cache.size_max})


async def show(call: Call) -> web.StreamResponse:
    """Where the bytes of one image are. An entry whose image is deleted is shown as well."""
    image = await _image_or_none(call)
    if image is None:
        call.services.policy.enforce("cache_list", call.context, {})
        entry = await _entry(call)
        status = CacheStatus(state=CacheState.CACHED, present_bytes=entry.size_bytes, size_bytes=entry.size_bytes)
    else:
        access.enforce(call, "cache_list", image)
        status = await _status(call, image)
    return json_response({"image_id": call.image_id} | asdict(status))


async def ask(call: Call) -> web.StreamResponse:
    """202: the image will be on disk and its digest compared. One that is there already is read back and compared."""
    image = await call.image()
    access.enforce(call, "cache_image", image)
    if image.status is not Status.ACTIVE:
        raise BadRequest(f"Only images with status active can be cached; image {image.id} is {image.status}.")
    if image.size_bytes is None:
        raise BadRequest(f"The size of image {image.id} is not known, so it cannot be cached.")
    if not await _needs_nothing(call, image):
        source = partial(call.services.stores.read, active_locations(image))
        call.services.prewarmer.ask(blob_of(image), source)
    return empty_response(HTTPStatus.ACCEPTED)


async def delete(call: Call) -> web.StreamResponse:
    """204, also for an image that is not cached; whoever is reading the entry finishes."""
    call.services.policy.enforce("cache_delete", call.context, {})
    image = await _image_or_none(call)
    dropped = call.services.prewarmer.drop(call.image_id)
    freed_bytes = await call.services.cache.evict(call.image_id)
    if image is None and freed_bytes is None and not dropped:
        raise NotFound("image", call.image_id)
    return empty_response()


async def clear(call: Call) -> web.StreamResponse:
    """204. The header may limit it to what is cached or to what is queued; without it both go."""
    call.services.policy.enforce("cache_delete", call.context, {})
    target = call.request.headers.get(_TARGET, "").lower()
    if target not in {"", "cache", "queue"}:
        raise BadRequest(f"If provided {_TARGET} must be 'cache', 'queue' or empty string, got {json.dumps(target)}.")
    if target != "cache":
        for key in call.services.prewarmer.asked:
            call.services.prewarmer.drop(key)
    if target != "queue":
        for entry in await call.services.cache.entries():
            await call.services.cache.evict(entry.key)
    return empty_response()


async def _status(call: Call, image: Image) -> CacheStatus:
    if await _needs_nothing(call, image):
        size_bytes = image.size_bytes or 0
        return CacheStatus(state=CacheState.LOCAL, present_bytes=size_bytes, size_bytes=size_bytes)
    return await call.services.prewarmer.status(blob_of(image).key, image.size_bytes)


async def _needs_nothing(call: Call, image: Image) -> bool:
    if image.size_bytes == 0:
        return True
    return await call.services.stores.local_path(active_locations(image), image.size_bytes) is not None


async def _image_or_none(call: Call) -> Image | None:
    try:
        return await call.image()
    except NotFound:
        return None


async def _entry(call: Call) -> Entry:
    for entry in await call.services.cache.entries():
        if entry.key == call.image_id:
            return entry
    raise NotFound("image", call.image_id)


def _view(entry: Entry) -> dict[str, object]:
    return {
        "image_id": entry.key,
        "hits": entry.hits,
        "last_accessed": entry.used_at_s,
        "last_modified": entry.created_at_s,
        "size": entry.size_bytes,
    }
