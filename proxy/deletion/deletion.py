"""DELETE of an image.

At once, the data go first: while a store says that something uses them, the image stays. Delayed, the image is
`pending_delete` and `glint scrub` does the rest. Source: glance/location.py, ImageProxy.delete.
"""

from dataclasses import replace
from functools import partial

import structlog

from proxy.errors import Forbidden
from proxy.services import Services
from upstream.errors import DataNotFound, Denied, Invalid, NotFound, NotSupported, Unavailable, UpstreamError
from upstream.registry import LEFTOVER, ImageChanges
from upstream.types import Context, Image, Location, Status

log = structlog.get_logger(__name__)


async def delete_image(services: Services, context: Context, image: Image) -> None:
    """Raises NotFound, Conflict while something uses the data, Forbidden, Unavailable.

    After an error the image has the locations whose data are still there.
    """
    await services.staging.remove(image.id)
    leftovers = await _expect_leftovers(services, image)
    if services.config.deletion.delayed:
        await services.registry.images.delete(context, image.id, delayed=True)
    else:
        left = await _delete_data(services, context, image)
        await _delete_row(services, context, image.id, left)
    if leftovers:
        await _clear(services, image.id)


async def _delete_data(services: Services, context: Context, image: Image) -> list[int]:
    """The ids of locations whose data stay for others to delete. Stores that may say no are asked first."""
    locations = services.stores.hardest_first(await _all_locations(services, context, image))
    deleted: list[int] = []
    left: list[int] = []
    try:
        for location in locations:
            assert location.id is not None
            if services.stores.owner(location) is None:
                left.append(location.id)
                continue
            await _delete_at(services, image, location)
            deleted.append(location.id)
    except BaseException:
        await _forget(services, context, image.id, deleted)
        raise
    return left


async def _all_locations(services: Services, context: Context, image: Image) -> tuple[Location, ...]:
    """Those of a deactivated image are hidden from its owner, but they have to go with it."""
    if image.status is not Status.DEACTIVATED or context.is_admin:
        return image.locations
    unveiled = await services.registry.images.get(replace(context, is_admin=True), image.id)
    return unveiled.locations


async def _delete_at(services: Services, image: Image, location: Location) -> None:
    """Data that are gone, or that nobody can delete, are no obstacle."""
    try:
        await services.stores.delete(location)
    except Denied as error:
        raise Forbidden(str(error)) from error
    except (DataNotFound, NotSupported, Invalid) as error:
        log.warning("data.not_deleted", image=image.id, store=location.store, reason=str(error))


async def _forget(services: Services, context: Context, image_id: str, deleted: list[int]) -> None:
    """The image stays, without the locations whose data are gone."""
    if not deleted:
        return

    async def forget() -> None:
        try:
            await services.registry.images.update(context, image_id, ImageChanges(removed_locations=deleted))
        except NotFound:
            log.info("deletion.image_gone", image=image_id)

    try:
        await forget()
    except UpstreamError:
        services.repairs.later(f"locations of {image_id}", forget)


async def _delete_row(services: Services, context: Context, image_id: str, left: list[int]) -> None:
    """The data are gone: what was begun is ended, now or when the registry answers again."""
    delete = partial(services.registry.images.delete, context, image_id, left=left)
    try:
        await delete()
    except Unavailable:

        async def end() -> None:
            try:
                await delete()
            except NotFound:
                log.info("deletion.image_gone", image=image_id)

        services.repairs.later(f"deletion {image_id}", end)
        raise


async def _expect_leftovers(services: Services, image: Image) -> bool:
    """Before an image goes that is `saving`: its worker may be dead, and any store have some of its data.

    The rows say so whatever happens next, and are not looked at while the image is `saving`.
    """
    if image.status is not Status.SAVING:
        return False
    places = [Location(url=LEFTOVER, metadata={"store": store}) for store in services.stores.writable()]
    await services.scrubber.leave(image.id, *places)
    return bool(places)


async def _clear(services: Services, image_id: str) -> None:
    try:
        await services.scrubber.clear(image_id)
    except UpstreamError as error:
        log.warning("leftovers.stay", image=image_id, reason=str(error))
