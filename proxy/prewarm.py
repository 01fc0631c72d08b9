"""What the cache's queue needs to know of images: which bytes an id stands for now, and where they lie."""

from cache import Blob, Source
from proxy.blobs import active_locations, blob_of
from upstream.errors import NotFound
from upstream.registry import Registry
from upstream.stores import Stores
from upstream.types import GLINT, Image, Status


async def resolve(registry: Registry, stores: Stores, image_id: str) -> tuple[Blob, Source] | None:
    """The image's bytes, read as nobody's in particular: whoever asked for them was asked for his rights before.

    None if it is gone, not active, or lies where it needs no entry. Raises what the registry raises.
    """
    try:
        image = await registry.images.get(GLINT, image_id)
    except NotFound:
        return None
    if image.status is not Status.ACTIVE or image.size_bytes is None or await needs_nothing(stores, image):
        return None
    return blob_of(image), stores.source(active_locations(image), image.size_bytes)


async def needs_nothing(stores: Stores, image: Image) -> bool:
    """Whether it is read without the cache: it is empty, or lies in a local store, which is served in place."""
    if image.size_bytes == 0:
        return True
    return await stores.local_path(active_locations(image), image.size_bytes) is not None
