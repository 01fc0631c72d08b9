"""/v2/cache: which images lie in this Glint's disk cache, and what an operator may do about it.

Glance has `GET`, `DELETE /v2/cache`, `PUT`, `DELETE /v2/cache/{id}`, `POST /v2/cache/clean`, `POST /v2/cache/prune` and
`GET /v2/cache/nodes/{id}`. The others are Glint's own. Those that only look stand under the policy rule `cache_list`:
`GET /v2/cache/{id}` tells how far one image is, `GET /v2/cache/usage` how full the cache is, `GET /v2/cache/pins` what
is never evicted for room. Those that decide what stays, or make the disk work, stand under `cache_image`, as asking for
an image does: `PUT`, `DELETE /v2/cache/{id}/pin` and `POST /v2/cache/{id}/verify`.
Source: glance/api/v2/cached_images.py.
"""

import json
from dataclasses import asdict
from http import HTTPStatus

from aiohttp import web

from cache import CacheState, CacheStatus, Entry, Verdict
from proxy.api.call import DeliveryCall, empty_response, json_response
from proxy.errors import BadRequest, NoSuchResource, StateConflict
from proxy.policy import image_target
from proxy.prewarm import needs_nothing
from upstream.errors import NotFound
from upstream.types import Image, Status

_TARGET = "x-image-cache-clear-target"


def enforce(call: DeliveryCall, rule: str, image: Image | None = None) -> None:
    """Raises Forbidden, also to who may not even get the image; then NotFound if this site has no such API."""
    call.services.policy.enforce(rule, call.context, {} if image is None else image_target(image))
    if not call.services.config.api.cache_api:
        raise NoSuchResource("Caching via API is not supported at this site.")


async def index(call: DeliveryCall) -> web.StreamResponse:
    enforce(call, "cache_list")
    return json_response({"cached_images": await cached(call), "queued_images": await queued(call)})


async def cached(call: DeliveryCall) -> list[dict[str, object]]:
    """The entries as Glance shows them, by image id."""
    entries = sorted(await call.services.cache.entries(), key=lambda entry: entry.key)
    return [_view(entry) for entry in entries]


async def queued(call: DeliveryCall) -> list[str]:
    """The ids of the images that are asked for and not there yet, in that order."""
    entries = {entry.key for entry in await call.services.cache.entries()}
    return [key for key in await call.services.prewarmer.asked() if key not in entries]


async def evict_all(call: DeliveryCall) -> int:
    """Take all entries out of the cache; how many there were."""
    freed = [await call.services.cache.evict(entry.key) for entry in await call.services.cache.entries()]
    return sum(size_bytes is not None for size_bytes in freed)


async def usage(call: DeliveryCall) -> web.StreamResponse:
    """Bytes that count against the limit: of entries, and promised to fills that run."""
    enforce(call, "cache_list")
    found = await call.services.cache.usage()
    return json_response(asdict(found) | {"limit_bytes": call.services.config.cache.size_max})


async def pins(call: DeliveryCall) -> web.StreamResponse:
    """The ids of the images whose entries are never evicted for room."""
    enforce(call, "cache_list")
    pinned = sorted(entry.key for entry in await call.services.cache.entries() if entry.pinned)
    return json_response({"pinned_images": pinned})


async def show(call: DeliveryCall) -> web.StreamResponse:
    """Where the bytes of one image are. An entry whose image is deleted is shown as well."""
    image = await _image_or_none(call)
    if image is None:
        enforce(call, "cache_list")
        entry = await _entry(call)
        status = await call.services.prewarmer.status(entry.key, entry.size_bytes)
    else:
        enforce(call, "cache_list", image)
        status = await _status(call, image)
    return json_response({"image_id": call.image_id} | asdict(status))


async def ask(call: DeliveryCall) -> web.StreamResponse:
    """202: the image will be on disk and its digest compared. One that is there already is read back and compared."""
    image = await call.image()
    enforce(call, "cache_image", image)
    if image.status is not Status.ACTIVE:
        raise BadRequest(f"Only images with status active can be cached; image {image.id} is {image.status}.")
    if image.size_bytes is None:
        raise BadRequest(f"The size of image {image.id} is not known, so it cannot be cached.")
    if not await needs_nothing(call.services.stores, image):
        await call.services.prewarmer.ask(image.id)
    return empty_response(HTTPStatus.ACCEPTED)


async def delete(call: DeliveryCall) -> web.StreamResponse:
    """204, also for an image that is not cached; whoever is reading the entry finishes."""
    services, image = call.services, await _image_or_none(call)
    if image is None and call.image_id not in await queued(call):
        await _entry(call)
    enforce(call, "cache_delete", image)
    await services.prewarmer.drop(call.image_id)
    await services.cache.evict(call.image_id)
    return empty_response()


async def clear(call: DeliveryCall) -> web.StreamResponse:
    """204. The header may limit it to what is cached or to what is queued; without it both go."""
    enforce(call, "cache_delete")
    target = call.request.headers.get(_TARGET, "").lower()
    if target not in {"", "cache", "queue"}:
        raise BadRequest(f"If provided {_TARGET} must be 'cache', 'queue' or empty string, got {json.dumps(target)}.")
    if target != "cache":
        await call.services.prewarmer.clear()
    if target != "queue":
        await evict_all(call)
    return empty_response()


async def clean(call: DeliveryCall) -> web.StreamResponse:
    """Removes what was found damaged. Copies that nobody goes on with do not wait for it: they go within seconds."""
    enforce(call, "cache_clean")
    await call.services.cache.clean()
    return empty_response(HTTPStatus.OK)


async def prune(call: DeliveryCall) -> web.StreamResponse:
    """Evicts down to `cache.evict_to_percent` of the limit, which is never passed, and says how much went."""
    enforce(call, "cache_prune")
    entries, freed_bytes = await call.services.cache.prune()
    return json_response({"total_files_pruned": entries, "total_bytes_pruned": freed_bytes})


async def nodes(call: DeliveryCall) -> web.StreamResponse:
    """The URLs of the nodes that have this image in their cache. 409 unless this one knows its own URL."""
    enforce(call, "list_cached_nodes")
    url = call.services.config.server.worker_self_reference_url
    if url is None:
        raise StateConflict("Centralized caching is not enabled: server.worker_self_reference_url is not set.")
    image = await call.image()
    return json_response([url] if await call.services.cache.has(image.id) else [])


async def pin(call: DeliveryCall) -> web.StreamResponse:
    """204: the entry is not evicted for room until it is unpinned. 409 if the image is not cached."""
    await _enforce_on_entry(call)
    if not await call.services.cache.pin(call.image_id, pinned=True):
        raise StateConflict(
            f"Image {call.image_id} is not in the cache, so it cannot be pinned. Have it cached first: "
            f"PUT /v2/cache/{call.image_id}, or `glint prewarm --pin {call.image_id}`."
        )
    return empty_response()


async def unpin(call: DeliveryCall) -> web.StreamResponse:
    """204, also for an image that is not pinned or not cached."""
    await _enforce_on_entry(call)
    await call.services.cache.pin(call.image_id, pinned=False)
    return empty_response()


async def verify(call: DeliveryCall) -> web.StreamResponse:
    """200 when the entry was read back from the disk and compared with its sums, which for a large one takes minutes.

    A damaged one is out of service by then, and fetched anew if its image is still there.
    """
    image = await _enforce_on_entry(call)
    verdict = await call.services.cache.verify(call.image_id)
    is_refetched = verdict is Verdict.DAMAGED and image is not None and image.status is Status.ACTIVE
    if is_refetched:
        await call.services.prewarmer.ask(call.image_id)
    return json_response({"image_id": call.image_id, "verdict": verdict, "refetched": is_refetched})


async def _enforce_on_entry(call: DeliveryCall) -> Image | None:
    """Whether the caller may decide about this image in the cache. None: only an entry of it is left.

    Raises Forbidden, NotFound.
    """
    image = await _image_or_none(call)
    if image is not None:
        enforce(call, "cache_image", image)
    else:
        enforce(call, "cache_image")
        await _entry(call)
    return image


async def _status(call: DeliveryCall, image: Image) -> CacheStatus:
    if await needs_nothing(call.services.stores, image):
        size_bytes = image.size_bytes or 0
        return CacheStatus(state=CacheState.LOCAL, present_bytes=size_bytes, size_bytes=size_bytes)
    return await call.services.prewarmer.status(image.id, image.size_bytes)


async def _image_or_none(call: DeliveryCall) -> Image | None:
    try:
        return await call.image()
    except NotFound:
        return None


async def _entry(call: DeliveryCall) -> Entry:
    entry = await call.services.cache.entry(call.image_id)
    if entry is None:
        raise NotFound("image", call.image_id)
    return entry


def _view(entry: Entry) -> dict[str, object]:
    return {
        "image_id": entry.key,
        "hits": entry.hits,
        "last_accessed": entry.used_at_s,
        "last_modified": entry.created_at_s,
        "size": entry.size_bytes,
        "checksum": None,
    }
