"""Tags of an image, one at a time."""

from aiohttp import web

from proxy.api import access, image_fields
from proxy.api.call import Call, empty_response
from proxy.errors import BadRequest

_TAG_MAX = 255


async def add(call: Call) -> web.StreamResponse:
    tag = call.parameters["tag"]
    if len(tag) > _TAG_MAX:
        raise BadRequest(f"The tag has {len(tag)} characters, at most {_TAG_MAX} are allowed.")
    image = await call.image()
    access.enforce(call, "modify_image", image)
    image_fields.check_tag_quota({*image.tags, tag}, call.services.config.api)
    await call.services.registry.tags.add(call.context, image.id, tag)
    return empty_response()


async def remove(call: Call) -> web.StreamResponse:
    image = await call.image()
    access.enforce(call, "modify_image", image)
    await call.services.registry.tags.remove(call.context, image.id, call.parameters["tag"])
    return empty_response()
