"""Bring back an image that was deleted while its data still lie where they were."""

from proxy.deletion.claims import UNHEARD_S
from upstream.errors import Conflict, DataNotFound
from upstream.registry import PendingImage, Registry
from upstream.stores import Stores


async def restore(registry: Registry, stores: Stores, image_id: str, *, dry_run: bool = False) -> PendingImage:
    """The image as it was brought back, or would be. May run beside any scrub: of the two one has its way.

    Raises NotFound, Conflict if it cannot be restored, and what a store says that cannot be asked.
    """
    image = await registry.locations.pending(image_id, UNHEARD_S)
    for location in image.locations:
        try:
            size_bytes = await stores.size(location)
        except DataNotFound as error:
            raise Conflict(f"Image {image_id} cannot be restored: {error}") from error
        if size_bytes != image.size_bytes:
            raise Conflict(
                f"Image {image_id} cannot be restored: {location.store or 'a store'} has {size_bytes} bytes of its "
                f"{image.size_bytes}"
            )
    if not dry_run:
        await registry.locations.restore(image_id, UNHEARD_S)
    return image
