"""Images in OpenStack Swift. See `Store` and `Writable`, both of which it is."""

import re
from collections.abc import AsyncIterator, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from urllib.parse import unquote

import aiohttp
import structlog

from upstream.errors import DataNotFound, Invalid, Unavailable
from upstream.stores.base import Stored, Witness
from upstream.stores.swift.client import Client, Place, details, open_session
from upstream.stores.swift.config import SwiftStoreConfig
from upstream.stores.swift.places import Places
from upstream.stores.swift.reading import Reader
from upstream.stores.swift.urls import is_segment, manifest_parts, parse_swift
from upstream.stores.swift.writing import Writer, remove_all
from upstream.types import Location

log = structlog.get_logger()

_SAFE_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,127}")
_DIGEST_THREADS = 2


class SwiftStore:
    """Objects of one Swift, by the accounts of its configuration."""

    def __init__(self, store_id: str, config: SwiftStoreConfig, session: aiohttp.ClientSession) -> None:
        self._id, self._config, self._session = store_id, config, session
        self._pool = ThreadPoolExecutor(_DIGEST_THREADS, thread_name_prefix=f"store-{store_id}")
        self._client = Client(store_id, config, session)
        self._places = Places(store_id, config, session)
        self._reader = Reader(store_id, self._client, idle_s=config.idle_s)
        self._writer = Writer(store_id, config, self._client, self._pool)

    @asynccontextmanager
    async def read(
        self, location: Location, offset: int = 0, stop: int | None = None, witness: Witness | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        place = await self._places.find(location.url)
        async with self._reader.read(place, offset, stop, witness or Witness()) as chunks:
            yield chunks

    async def size(self, location: Location) -> int:
        found = await self._client.head(await self._places.find(location.url))
        if found is None:
            raise DataNotFound(self._id)
        length = found.get("Content-Length", "")
        if not (length.isascii() and length.isdecimal()):
            raise Invalid(f"{self._id} does not say how large the object is")
        return int(length)

    async def write(self, image_id: str, chunks: AsyncIterator[bytes], size_bytes: int | None) -> Stored:
        if not _SAFE_ID.fullmatch(image_id):
            raise Invalid(f"not an image id: {image_id!r}")
        place = self._places.new(image_id)
        written_bytes = await self._writer.write(place, chunks, size_bytes)
        url = self._config.url(place.container, place.name)
        return Stored(location=Location(url=url, metadata={"store": self._id}), size_bytes=written_bytes)

    async def delete(self, location: Location) -> None:
        """With all its segments, and these first: what is left of a deletion that failed can be deleted again."""
        place = await self._places.find(location.url)
        found = await self._client.head(place)
        if found is None:
            raise DataNotFound(self._id)
        if found.get("X-Static-Large-Object", "").lower() == "true":
            await self._delete_static(place)
            return
        if manifest := found.get("X-Object-Manifest"):
            await self._delete_segments(place, manifest)
        if await self._client.delete(place) is None:
            raise DataNotFound(self._id)

    async def _delete_static(self, place: Place) -> None:
        """Swift does it all, and says how it went in the body of an answer 200."""
        answer = details(await self._client.delete(place, {"multipart-manifest": "delete", "format": "json"}))
        status = str(answer.get("Response Status", "200"))
        if not status.startswith("2") and not status.startswith("404"):
            raise Unavailable(self._id, f"not all segments of a static large object could be deleted ({status[:3]})")

    async def _delete_segments(self, place: Place, manifest: str) -> None:
        parts = manifest_parts(manifest, place.name)
        if parts is None:
            log.warning("store.segments_left", store=self._id, image=place.name, manifest=unquote(manifest))
            return
        container, prefix = parts
        segments = Place(account=place.account, container=container, name="", storage_url=place.storage_url)
        await remove_all(self._client, segments, await self._client.names(segments, prefix))

    async def remove_leftover(self, image_id: str, kept: Collection[Location]) -> None:
        """See `Writable.remove_leftover`. A location that names the object keeps it with all its segments."""
        place = self._places.new(image_id)
        if any(self._means(location, place) for location in kept):
            return
        names = await self._client.names(place, image_id)
        await remove_all(self._client, place, [name for name in names if is_segment(name, image_id)])
        if image_id in names:
            await remove_all(self._client, place, [image_id])

    @staticmethod
    def _means(location: Location, place: Place) -> bool:
        """Whichever account it is in: to keep too much harms nobody."""
        with suppress(Invalid):
            target = parse_swift(location.url)
            return (target.container, target.name) == (place.container, place.name)
        return False

    async def close(self) -> None:
        await self._session.close()
        self._pool.shutdown(wait=False)


async def open_store(store_id: str, config: SwiftStoreConfig) -> SwiftStore:
    """Nothing is asked of Swift before it is needed."""
    return SwiftStore(store_id, config, await open_session(config))
