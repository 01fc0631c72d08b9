"""DELETE of an image's data in one store.

Source of the order of checks: glance/api/v2/images.py, delete_from_store.
"""

from dataclasses import replace
from functools import partial

import structlog
from aiohttp import web

from proxy.api import access
from proxy.api.call import Call, empty_response
from proxy.deletion.claims import Claim, ClaimLost
from proxy.errors import Forbidden, NoSuchResource, StateConflict
from upstream.errors import Conflict, DataNotFound, Denied, Invalid, NotSupported, UpstreamError
from upstream.registry import ImageChanges
from upstream.types import Image, Location, Status

log = structlog.get_logger(__name__)


async def delete(call: Call) -> web.StreamResponse:
    """204. Data that are gone, or lie where nobody can delete them, are no obstacle: the image forgets them.

    First the registry lets go of the location, so that of two who delete from two stores at once one finds it to be
    the last; then the data go, at once or by `glint scrub`. While a store says that they are in use, the image has them
    back.
    """
    store = call.parameters["store_id"]
    if store not in {info.id for info in call.services.stores.infos()}:
        raise StateConflict(f"The store {store} is not available on this node.")
    image = await call.image()
    access.enforce(call, "get_image_location", image)
    access.enforce(call, "delete_image_location", image)
    leaving = _leaving(image, store)
    await _let_go(call, image, leaving)
    if not call.services.config.deletion.delayed:
        await _delete_data(call, image, leaving)
    return empty_response()


def _leaving(image: Image, store: str) -> Location:
    """The first location in the store. Raises StateConflict, Forbidden, NoSuchResource."""
    if image.status is not Status.ACTIVE:
        raise StateConflict(f"Data cannot be removed from a store while the image is {image.status}.")
    if len(image.locations) == 1:
        raise Forbidden("The only store that has the data must keep them. Delete the image instead.")
    found = next((location for location in image.locations if location.metadata.get("store") == store), None)
    if found is None:
        raise NoSuchResource(f"Image {image.id} is not stored in {store}.")
    return found


async def _let_go(call: Call, image: Image, leaving: Location) -> None:
    marked = tuple(
        replace(location, status=Status.PENDING_DELETE) if location is leaving else location
        for location in image.locations
    )
    changes = ImageChanges(locations=marked)
    try:
        await call.services.registry.images.update(call.context, image.id, changes, from_status=(Status.ACTIVE,))
    except Invalid as error:
        raise StateConflict(f"The locations of image {image.id} were changed meanwhile.") from error


async def _delete_data(call: Call, image: Image, leaving: Location) -> None:
    assert leaving.id is not None
    claim = await Claim.made_with_change(call.services.registry.locations, image.id, leaving.id)
    try:
        await claim.during(partial(call.services.stores.delete, leaving))
    except ClaimLost:
        raise
    except (DataNotFound, NotSupported, Invalid) as error:
        log.info("data.not_deleted", image=image.id, store=leaving.store, reason=type(error).__name__)
    except (Conflict, Denied, UpstreamError) as error:
        await claim.settle(Status.ACTIVE)
        if isinstance(error, Denied):
            raise Forbidden(str(error)) from error
        raise
    await claim.settle(Status.DELETED)
