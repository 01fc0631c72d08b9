"""Images: create, list, show, change, delete."""

import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import structlog
from aiohttp import hdrs, web

from cache import CacheError
from proxy.api import access, filters, image_fields, location_changes, patch, stage_host, views
from proxy.api.call import Call, empty_response, json_response
from proxy.deletion.deletion import delete_image
from proxy.errors import Forbidden
from proxy.policy import image_target
from upstream.errors import Invalid, NotFound, UpstreamError
from upstream.registry import ImageQuery
from upstream.types import Image

log = structlog.get_logger(__name__)


async def create(call: Call) -> web.StreamResponse:
    body = await call.json()
    await call.considered(image_fields.check_document, body, schemas=call.schemas)
    access.enforce_creation(call, body.get("owner", call.context.project_id), body.get("visibility"))
    image = await call.considered(
        image_fields.image_of,
        body,
        image_id=str(uuid.uuid4()),
        owner=call.context.project_id,
        now=datetime.now(UTC),
        config=call.services.config.api,
    )
    image_fields.check_protections(image.properties, call.may)
    ceiling = await call.services.quotas.new_image(call.context)
    image = await call.services.registry.images.create(call.context, image, ceiling=ceiling)
    response = json_response(view(call, call.seen(image)), HTTPStatus.CREATED)
    response.headers[hdrs.LOCATION] = f"{call.origin}{views.image_path(image.id)}"
    if methods := call.services.config.api.import_methods:
        response.headers["OpenStack-image-import-methods"] = ",".join(methods)
    response.headers["OpenStack-image-store-ids"] = ",".join(info.id for info in call.services.stores.infos())
    return response


async def index(call: Call) -> web.StreamResponse:
    """A page may be shorter than its limit: rows that the policy hides are dropped after the registry counted."""
    parameters = call.query()
    query = filters.parse(parameters, call.services.config.api)
    call.services.policy.enforce("get_images", call.context, {"project_id": call.context.project_id})
    found = [call.seen(image) for image in await _page(call, query)]
    shown = [image for image in found if access.allows(call, "get_image", image)]
    is_full = len(found) == query.limit
    marker = shown[-1].id if shown and is_full else None
    return json_response(views.list_view([view(call, image) for image in shown], parameters, next_marker=marker))


async def _page(call: Call, query: ImageQuery) -> Sequence[Image]:
    """Raises Invalid for a marker that is no image, and as Glance Forbidden for one that the caller may not see."""
    images = call.services.registry.images
    try:
        return await images.list(call.context, query)
    except Invalid:
        if query.marker is not None and await _exists(call, query.marker):
            raise Forbidden(f"The marker {query.marker} is an image that cannot be seen.") from None
        raise


async def _exists(call: Call, image_id: str) -> bool:
    try:
        await call.services.registry.images.get(replace(call.context, is_admin=True), image_id)
    except NotFound:
        return False
    return True


async def show(call: Call) -> web.StreamResponse:
    image = await call.image()
    access.enforce(call, "get_image", image)
    return json_response(view(call, image))


async def update(call: Call) -> web.StreamResponse:
    """All operations or none: the registry gets one set of differences."""
    media_type = call.request.headers.get(hdrs.CONTENT_TYPE, "").partition(";")[0].strip()
    patch.check_media_type(media_type)
    operations = await call.considered(patch.parse, media_type, await call.json(), call.schemas)
    image = await call.image()
    if not operations:
        return json_response(view(call, image))
    draft = patch.Draft(image, call.may)
    places = location_changes.LocationDraft(image, call)
    for operation in operations:
        if operation.name == patch.LOCATIONS:
            await places.apply(operation)
        else:
            _enforce_change(call, image, operation)
            draft.apply(operation, is_admin=call.context.is_admin)
    changes, from_status = places.merged(draft.changes(call.services.config.api))
    image = await call.services.registry.images.update(
        call.context, image.id, changes, from_status=from_status, ceiling=places.ceiling()
    )
    await places.forget_removed()
    return json_response(view(call, call.seen(image)))


def _enforce_change(call: Call, image: Image, operation: patch.Operation) -> None:
    if operation.name == "owner" and operation.verb is patch.Verb.REPLACE and not call.context.is_admin:
        raise Forbidden(patch.OWNER_IS_FOR_ADMINS)  # before the policy could say that there is no such image
    if operation.name == "visibility" and operation.verb is not patch.Verb.REMOVE:
        access.enforce_visibility(call, operation.value, image_target(image))
    access.enforce(call, "modify_image", image)


async def delete(call: Call) -> web.StreamResponse:
    image = await call.image()
    access.enforce(call, "delete_image", image)
    if image.protected:
        raise Forbidden(f"Image {image.id} is protected and cannot be deleted.")
    host = stage_host.of(call, image)
    answer = None if host is None else await stage_host.delete_image(call, host)
    if answer is not None:
        await _forget_cached(call, image)
        return answer
    await delete_image(call.services, call.context, image)
    await _forget_key(call, image)
    await _forget_cached(call, image)
    return empty_response()


async def _forget_key(call: Call, image: Image) -> None:
    """The key that an encrypted volume's image came with, if it is to go with it: the image is gone either way."""
    key_id = image.properties.get("cinder_encryption_key_id")
    if not key_id or image.properties.get("cinder_encryption_key_deletion_policy") != "on_image_deletion":
        return
    try:
        await call.services.keys.delete(key_id, call.context.token)
    except UpstreamError as error:
        log.warning("key.not_deleted", image=image.id, reason=str(error))


async def _forget_cached(call: Call, image: Image) -> None:
    """The image is deleted whether or not its entry can be: an entry nobody asks for goes by its age."""
    try:
        await call.services.cache.evict(image.id)
    except CacheError as error:
        log.warning("entry.not_evicted", key=image.id, error=type(error).__name__)


def view(call: Call, image: Image) -> dict[str, Any]:
    """`image` is what the caller may see of it, as `Call.seen` gives it."""
    config = call.services.config.api
    return views.image_view(
        image,
        show_locations=config.show_multiple_locations,
        show_direct_url=config.show_image_direct_url,
        rank=call.services.stores.weight,
        custom=call.schemas.custom,
    )
