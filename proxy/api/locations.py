"""Locations of an image by the API made for other services: POST adds one, GET lists them."""

from http import HTTPStatus

from aiohttp import web

from proxy.api import access, image_fields, views
from proxy.api.call import Call, empty_response, json_response
from proxy.api.location_changes import check_can_leave_queue, checked_location
from proxy.api.validation_data import NOTHING, check_stated
from proxy.errors import Forbidden, StateConflict
from proxy.imports.location_import import Asked, LocationImport
from upstream.types import Status


async def add(call: Call) -> web.StreamResponse:
    """Give a queued image data that lie elsewhere. That they are what the client states is proved after the answer."""
    body = await call.json()
    call.schemas.check_add_location(body)
    stated = body.get("validation_data") or NOTHING
    image = await call.image()
    if image.status is not Status.QUEUED:
        raise StateConflict(f"It's not allowed to add locations if image status is {image.status}.")
    access.enforce(call, "add_image_location", image)
    _check_scheme(call, body["url"])
    check_stated(stated)
    check_can_leave_queue(image)
    image_fields.check_location_quota(len(image.locations) + 1, call.services.config.api)
    location, size_bytes = await checked_location(call, body["url"], {})
    limit = call.services.quotas.registering(call.context)
    asked = Asked(
        context=call.context,
        image=image,
        location=location,
        size_bytes=size_bytes,
        stated=stated,
        ceiling=None if limit is None else limit.ceiling(size_bytes * (len(image.locations) + 1)),
    )
    await call.services.tasks.start(LocationImport.new(call.services.location_imports, asked))
    return empty_response(HTTPStatus.ACCEPTED)


def _check_scheme(call: Call, url: str) -> None:
    """Users may name http locations only; other services also those of stores."""
    is_service = "service" in call.context.roles | call.context.service_roles
    if not is_service and url.partition(":")[0].lower() not in {"http", "https"}:
        raise Forbidden("Only a service may add a location that is not behind http or https.")


async def index(call: Call) -> web.StreamResponse:
    image = await call.image()
    access.enforce(call, "fetch_image_location", image)
    return json_response(views.locations_view(image.locations))
