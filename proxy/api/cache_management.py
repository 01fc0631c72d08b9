"""/v2/cached_images and /v2/queued_images: the cache by the older paths, which `glance-cache-manage` uses.

All stand under the policy rule `manage_image_cache` and answer 200, with `null` where there is nothing to tell.
Source: glance/api/middleware/cache_manage.py; glance/api/v2/cached_images.py.
"""

from aiohttp import web

from proxy.api.cached_images import cached, evict_all, queued
from proxy.api.call import DeliveryCall, json_response
from proxy.errors import NoSuchResource

_RULE = "manage_image_cache"


def _enforce(call: DeliveryCall) -> None:
    """Raises Forbidden; NoSuchResource if this site has no API of its cache, since Glance has no such paths then."""
    if not call.services.config.api.cache_api:
        raise NoSuchResource("The resource could not be found.")
    call.services.policy.enforce(_RULE, call.context, {})


async def index_cached(call: DeliveryCall) -> web.StreamResponse:
    _enforce(call)
    return json_response({"cached_images": await cached(call)})


async def delete_cached(call: DeliveryCall) -> web.StreamResponse:
    """Nothing is said of an image that is not cached."""
    _enforce(call)
    if await call.services.cache.entry(call.image_id) is not None:  # what the path names need be no name of an entry
        await call.services.cache.evict(call.image_id)
    return json_response(None)


async def clear_cached(call: DeliveryCall) -> web.StreamResponse:
    _enforce(call)
    return json_response({"num_deleted": await evict_all(call)})


async def index_queued(call: DeliveryCall) -> web.StreamResponse:
    _enforce(call)
    return json_response({"queued_images": await queued(call)})


async def ask(call: DeliveryCall) -> web.StreamResponse:
    """Whether there is such an image is found out when its turn comes; one that is none leaves the queue again."""
    _enforce(call)
    await call.services.prewarmer.ask(call.image_id)
    return json_response(None)


async def delete_queued(call: DeliveryCall) -> web.StreamResponse:
    _enforce(call)
    await call.services.prewarmer.drop(call.image_id)
    return json_response(None)


async def clear_queued(call: DeliveryCall) -> web.StreamResponse:
    _enforce(call)
    waiting = await queued(call)
    await call.services.prewarmer.clear()
    return json_response({"num_deleted": len(waiting)})
