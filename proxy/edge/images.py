"""Images as the Glance behind us knows them, for the cache: which bytes an id stands for, and where they are had."""

import asyncio
import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from urllib.parse import quote

import aiohttp
import structlog

from cache import Blob, Digest, ImageCache, Source
from proxy.blobs import active_locations, blob_of
from proxy.errors import Forbidden
from proxy.prewarm import needs_nothing
from upstream.errors import NotFound, Unauthenticated, Unavailable
from upstream.registry import GlanceRegistryConfig
from upstream.registry.glance import Bearer, Bearers, Glance, Operation, image_of
from upstream.stores import GlanceFile, Stores
from upstream.types import Image, Status

log = structlog.get_logger(__name__)

_KNOWN_MAX = 10_000
_AGREE_S = 1.5  # as for opening a file of the cache: cache/boarding.py
_PLAIN = {"Accept": "*/*", "Accept-Encoding": "identity"}


async def described(glance: Glance, bearer: Bearer, image_id: str, *, with_locations: bool) -> Image:
    """The image as Glance shows it to the bearer. Raises NotFound, Unauthenticated, Forbidden, Unavailable."""
    headers = {**bearer.headers, "Accept": "application/json", "Accept-Encoding": "identity"}
    async with glance.ask(Operation.DESCRIBE, "GET", _path(image_id), headers) as answer:
        body = await glance.document(answer)
        match answer.status:
            case 200:
                image = _parsed(body, with_locations=with_locations)
            case 404:
                raise NotFound("image", image_id)
            case 401:
                raise Unauthenticated("Glance does not take the token")
            case 403:
                raise Forbidden(f"Glance does not show image {image_id} to you.")
            case status:
                raise Unavailable("Glance", f"it answered with status {status}")
    if image is None or image.id != image_id:
        raise Unavailable("Glance", "its answer is no image")
    return image


def source_of(
    glance: Glance, bearers: Bearers, stores: Stores, config: GlanceRegistryConfig, image: Image, bearer: Bearer
) -> Source:
    """What a fill that `bearer` begins reads: the stores that have the image, if it shows any; then Glance."""

    def shown() -> Sequence[Mapping[str, str]]:
        others = [other for other in bearers.of(image.id) if other is not bearer]
        return [one.headers for one in (bearer, *others)]

    file = GlanceFile(partial(_file, glance, image.id), shown, idle_s=config.idle_s, skip_max=config.skip_max)
    return stores.source(active_locations(image), image.size_bytes, elsewhere=file.open)


async def resolve(
    glance: Glance, bearers: Bearers, stores: Stores, config: GlanceRegistryConfig, image_id: str
) -> tuple[Blob, Source] | None:
    """For the cache's queue, with the token of whoever asked for the image. None if there is nothing to fetch.

    Raises as `described`.
    """
    lent = bearers.of(image_id)
    if not lent:
        raise Unauthenticated("nobody has a token for it any more")
    try:
        image = await described(glance, lent[0], image_id, with_locations=config.read_stores)
    except NotFound:
        return None
    if image.status is not Status.ACTIVE or image.size_bytes is None or await needs_nothing(stores, image):
        return None
    return blob_of(image), source_of(glance, bearers, stores, config, image, lent[0])


class Digests:
    """Which digest each image's entry was last seen to have. An id of Glance's may get other bytes in one way only:
    all its locations are taken away, and it is uploaded anew.
    """

    def __init__(self, cache: ImageCache) -> None:
        self._cache = cache
        self._known: OrderedDict[str, Digest | None] = OrderedDict()

    async def agree(self, blob: Blob) -> None:
        """Evict an entry of other bytes than the image has now. Raises DiskFailed, or TimeoutError after _AGREE_S."""
        if blob.key in self._known and self._known[blob.key] == blob.digest:
            return
        async with asyncio.timeout(_AGREE_S):
            entry = await self._cache.entry(blob.key)
        if entry is not None and entry.digest is not None and blob.digest not in {None, entry.digest}:
            log.warning("entry.outdated", key=blob.key)
            await self._cache.evict(blob.key)
        self._known[blob.key] = blob.digest
        self._known.move_to_end(blob.key)
        if len(self._known) > _KNOWN_MAX:
            self._known.popitem(last=False)


def _file(
    glance: Glance, image_id: str, headers: Mapping[str, str]
) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
    return glance.ask(Operation.READ, "GET", f"{_path(image_id)}/file", {**headers, **_PLAIN}, is_data=True)


def _path(image_id: str) -> str:
    return f"/v2/images/{quote(image_id, safe='')}"


def _parsed(body: bytes, *, with_locations: bool) -> Image | None:
    try:
        return image_of(json.loads(body), with_locations=with_locations)
    except (ValueError, RecursionError):
        return None
