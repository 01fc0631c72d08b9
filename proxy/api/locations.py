"""Locations of an image by the API made for other services: POST adds one, GET lists them."""

from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import web

from proxy.api import access, views
from proxy.api.call import Call, empty_response, json_response
from proxy.api.location_changes import check_can_leave_queue, checked_location
from proxy.api.validation_data import NOTHING, check_stated
from proxy.errors import Forbidden, StateConflict
from upstream.registry import ImageChanges
from upstream.types import Image, Status


async def add(call: Call) -> web.StreamResponse:
    """Make a queued image active with data that lie elsewhere. What the client states of them is taken over.

    Stated digests are not compared with the data here: whoever fills the cache from this location compares them.
    """
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
    await _activate(call, image, body["url"], stated)
    return empty_response(HTTPStatus.ACCEPTED)


async def _activate(call: Call, image: Image, url: str, stated: Mapping[str, str]) -> None:
    location, size_bytes = await checked_location(call, url, {})
    changes = ImageChanges(
        columns={**stated, "status": Status.ACTIVE, "size": size_bytes},
        locations=(*image.locations, location),
    )
    await call.services.registry.images.update(call.context, image.id, changes, from_status=(Status.QUEUED,))


def _check_scheme(call: Call, url: str) -> None:
    """Users may name http locations only; other services also those of stores."""
    is_service = "service" in call.context.roles | call.context.service_roles
    if not is_service and url.partition(":")[0].lower() not in {"http", "https"}:
        raise Forbidden("Only a service may add a location that is not behind http or https.")


async def index(call: Call) -> web.StreamResponse:
    image = await call.image()
    access.enforce(call, "fetch_image_location", image)
    return json_response(views.locations_view(image.locations))
