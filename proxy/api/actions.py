"""Taking an image out of use and back: its data cannot be had while it is deactivated, unless by an admin.

Source: glance/api/v2/image_actions.py; glance/domain/__init__.py, Image.deactivate and reactivate.
"""

from aiohttp import web

from proxy.api import access
from proxy.api.call import Call, empty_response
from proxy.errors import Forbidden
from upstream.errors import Conflict
from upstream.registry import ImageChanges
from upstream.types import Status


async def deactivate(call: Call) -> web.StreamResponse:
    return await _move(call, "deactivate", Status.ACTIVE, Status.DEACTIVATED)


async def reactivate(call: Call) -> web.StreamResponse:
    return await _move(call, "reactivate", Status.DEACTIVATED, Status.ACTIVE)


async def _move(call: Call, rule: str, source: Status, target: Status) -> web.StreamResponse:
    """What is there already is left as it is, `updated_at` too."""
    image = await call.image()
    access.enforce(call, rule, image)
    if image.status is target:
        return empty_response()
    if image.status is not source:
        raise Forbidden(f"Not allowed to {rule} image in status '{image.status}'")
    changes = ImageChanges(columns={"status": target})
    try:
        await call.services.registry.images.update(call.context, image.id, changes, from_status=(source,))
    except Conflict:
        # Somebody was faster. Who asked for the same is answered as if he had come after it.
        if (await call.image()).status is not target:
            raise
    return empty_response()
