"""GET /v2/schemas/…: nova and the clients read what an image may look like."""

from aiohttp import web

from proxy.api.call import Call, json_response


async def image(call: Call) -> web.StreamResponse:
    return json_response(call.schemas.image)


async def images(call: Call) -> web.StreamResponse:
    return json_response(call.schemas.images)


async def member(call: Call) -> web.StreamResponse:
    return json_response(call.schemas.member)


async def members(call: Call) -> web.StreamResponse:
    return json_response(call.schemas.members)


async def task(call: Call) -> web.StreamResponse:
    return json_response(call.schemas.task)


async def tasks(call: Call) -> web.StreamResponse:
    return json_response(call.schemas.tasks)
