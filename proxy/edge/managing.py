"""Who may manage the cache of a Glint that knows nobody: whom Glance would show its own cache.

Glance asks its policy (`cache_list`) before it says whether it has a cache, so one without answers as well: 404, and in
words that no other 404 has. One older than Xena has no such path, and then nobody may.
Source: glance/api/v2/cached_images.py, CacheController._enforce.
"""

from dataclasses import replace

from aiohttp import web

from proxy.edge.call import EdgeCall, EdgeHandler
from proxy.edge.forwarding import Kept, kept
from proxy.edge.headers import without_range
from proxy.errors import Forbidden
from upstream.registry.glance import Operation
from upstream.types import Context

_PATH = "/v2/cache"
_HAS_NO_CACHE = b"Caching via API is not supported"
_MANAGER = Context(roles=frozenset({"admin", "member", "reader"}), is_admin=True)
_ASKING = frozenset({"GET", "PUT", "POST"})


def managed(handler: EdgeHandler) -> EdgeHandler:
    """The handler, for those who may."""

    async def manage(call: EdgeCall) -> web.StreamResponse:
        answer = await _answer(call)
        if not _is_yes(answer):
            if answer.status == 404:
                raise Forbidden("The Glance behind has no /v2/cache, so it cannot say who may manage this cache.")
            return answer.response(call.request)
        if "image_id" in call.parameters and call.request.method in _ASKING:
            # Whoever asks for an image, or how far it is, lends his token for it.
            call.services.bearers.keep(call.image_id, call.bearer())
        return await handler(replace(call, context=_MANAGER))

    return manage


async def may_manage(call: EdgeCall) -> bool:
    """Raises Unavailable."""
    return _is_yes(await _answer(call))


async def _answer(call: EdgeCall) -> Kept:
    async with call.services.glance.ask(Operation.AUTHORIZE, "GET", _PATH, without_range(call.headers())) as answer:
        return await kept(call, answer)


def _is_yes(answer: Kept) -> bool:
    return answer.status == 200 or (answer.status == 404 and _HAS_NO_CACHE in answer.body)
