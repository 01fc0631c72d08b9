"""The task `location_import`: an image gets data that lie elsewhere, and digests by reading them.

With stated digests the image is `importing` until they are proved; without, it is active at once and gets them later.
The data are read as a download reads them, so the cache is filled by the way, or what it has is used.
Source: glance/async_/flows/location_import.py.
"""

import asyncio
import hashlib
import random
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import structlog

from cache import CacheError, DigestMismatch, ImageCache, in_thread
from proxy.api.config import ApiConfig
from proxy.api.validation_data import HASHING_ALGORITHM
from proxy.blobs import active_locations, blob_of
from proxy.imports.image_bytes import bytes_of
from proxy.tasks import Progress, new_task
from upstream.errors import Conflict, Invalid, NotFound, Unavailable, UpstreamError
from upstream.registry import IMPORT_LOCK, Ceiling, ImageChanges, Lock, Registry
from upstream.retry import slot_s
from upstream.stores import Stores
from upstream.types import GLINT, Context, Image, Location, Status, Task

log = structlog.get_logger(__name__)

_THREADS = 2
_WATCH_S = 2.0


class LocationImports:
    """What the jobs of one Glint share. Close it when none runs any more."""

    def __init__(self, registry: Registry, stores: Stores, cache: ImageCache, config: ApiConfig) -> None:
        self.registry, self.stores, self.cache, self.config = registry, stores, cache, config
        self.threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="location-import")

    async def close(self) -> None:
        await asyncio.to_thread(self.threads.shutdown)

    def recovered(self, task: Task) -> "LocationImport":
        """The job of a record whose process is gone."""
        return LocationImport(self, task)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a client asked for: `stated` are digests by their columns, perhaps none."""

    context: Context
    image: Image
    location: Location
    size_bytes: int
    stated: Mapping[str, str]
    ceiling: Ceiling | None


class LocationImport:
    """A `proxy.tasks.Job`. One whose process is gone can only be undone: it was not `asked` here."""

    TASK_TYPE = "location_import"

    def __init__(self, tools: LocationImports, task: Task, asked: Asked | None = None) -> None:
        self._tools, self._task, self._asked = tools, task, asked

    @classmethod
    def new(cls, tools: LocationImports, asked: Asked) -> "LocationImport":
        described = {"image_id": asked.image.id, "loc_url": asked.location.url, "validation_data": dict(asked.stated)}
        return cls(tools, new_task(cls.TASK_TYPE, asked.context, asked.image.id, described), asked)

    @property
    def task(self) -> Task:
        return self._task

    async def claim(self) -> None:
        """Give the image its location. Raises NotFound, Conflict, LimitExceeded."""
        asked = self._asked
        assert asked is not None
        columns = {**asked.stated, "status": self._first_status, "size": asked.size_bytes}
        await self._tools.registry.images.update(
            asked.context,
            asked.image.id,
            ImageChanges(columns=columns, locations=(*asked.image.locations, asked.location)),
            from_status=(Status.QUEUED,),
            ceiling=asked.ceiling,
            lock=Lock.take(self._task),
        )

    @property
    def _first_status(self) -> Status:
        assert self._asked is not None
        return Status.IMPORTING if self._asked.stated and self._tools.config.do_secure_hash else Status.ACTIVE

    async def run(self, progress: Progress) -> None:
        """Raises Invalid if the digest is another than stated, Unavailable if the data could not be read for it."""
        if not self._tools.config.do_secure_hash:
            return
        assert self._asked is not None
        is_stated = bool(self._asked.stated)
        algorithm = self._asked.stated.get("os_hash_algo", HASHING_ALGORITHM)
        digests = await self._watched(algorithm, progress, is_needed=is_stated)
        if digests is None:
            return
        if is_stated and digests["os_hash_value"] != self._asked.stated["os_hash_value"].lower():
            raise Invalid(f"The data have another {algorithm} than was stated: {digests['os_hash_value']}")
        columns = digests | ({"status": Status.ACTIVE} if is_stated else {})
        await self._update(ImageChanges(columns=columns), Status.IMPORTING if is_stated else None)

    async def _watched(self, algorithm: str, progress: Progress, *, is_needed: bool) -> dict[str, Any] | None:
        """The digests; None if they cannot be had and are not needed. Raises NotFound once the image is deleted."""
        try:
            async with asyncio.TaskGroup() as group:
                watching = group.create_task(self._watch())
                digests = await self._insisted(algorithm, progress, is_needed=is_needed)
                watching.cancel()
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return digests

    async def _watch(self) -> None:
        """Raises NotFound or Conflict when the image is no longer ours to read."""
        while True:
            await asyncio.sleep(_WATCH_S)
            try:
                image = await self._image()
            except Unavailable as error:
                log.info("location_import.not_watched", image=self._task.image_id, error=type(error).__name__)
                continue
            if image.properties.get(IMPORT_LOCK) != self._task.id:
                raise Conflict(f"Another task works on image {image.id}.")

    async def _insisted(self, algorithm: str, progress: Progress, *, is_needed: bool) -> dict[str, Any] | None:
        attempts = self._tools.config.http_retries
        for attempt in range(1, attempts + 1):
            try:
                return await self._digests(algorithm, progress)
            except DigestMismatch as error:
                raise Invalid(f"The data have another {error.algorithm} than was stated: {error.got}") from error
            except (NotFound, Conflict):
                raise
            except (UpstreamError, CacheError, OSError) as error:
                log.warning(
                    "location_import.read_failed",
                    image=self._task.image_id,
                    attempt=attempt,
                    error=type(error).__name__,
                )
            if attempt < attempts:
                await asyncio.sleep(slot_s(attempt, random.random()))  # noqa: S311 - no secret
        if is_needed:
            raise Unavailable("the image's store", "the digests could not be computed")
        return None

    async def _digests(self, algorithm: str, progress: Progress) -> dict[str, Any]:
        image = await self._image()
        hashes = (hashlib.md5(usedforsecurity=False), hashlib.new(algorithm, usedforsecurity=False))
        blob, tools = blob_of(image), self._tools
        source = tools.stores.source(active_locations(image), image.size_bytes)
        read_bytes = 0
        async with tools.cache.open(blob, source) as reader, aclosing(bytes_of(reader, tools.threads)) as pieces:
            async for piece in pieces:
                for each in hashes:
                    await in_thread(tools.threads, each.update, piece)
                read_bytes += len(piece)
                progress.message = f"Hashed {read_bytes // 2**20} MiB"
        if read_bytes != image.size_bytes:
            raise Unavailable("the image's store", f"it gave {read_bytes} of {image.size_bytes} bytes")
        md5, sha = hashes
        return {"checksum": md5.hexdigest(), "os_hash_algo": algorithm, "os_hash_value": sha.hexdigest()}

    async def undo(self) -> None:
        """An image that was to be proved is queued again, without the location; one that is active stays so."""
        try:
            image = await self._image()
            if image.status is not Status.IMPORTING or image.properties.get(IMPORT_LOCK) != self._task.id:
                return
            await self._evict(image)
            nothing = dict.fromkeys(("size", "checksum", "os_hash_algo", "os_hash_value"))
            changes = ImageChanges(columns={**nothing, "status": Status.QUEUED}, locations=())
            await self._update(changes, Status.IMPORTING)
        except (NotFound, Conflict) as error:
            log.info("location_import.image_gone", image=self._task.image_id, reason=type(error).__name__)

    async def _evict(self, image: Image) -> None:
        """What is known under the image's name are not its bytes."""
        try:
            await self._tools.cache.evict(image.id)
        except CacheError as error:
            log.warning("entry.not_evicted", key=image.id, error=type(error).__name__)

    async def release(self) -> None:
        assert self._task.image_id is not None
        try:
            await self._tools.registry.images.update(
                GLINT, self._task.image_id, ImageChanges(), lock=Lock.drop(self._task.id)
            )
        except (NotFound, Conflict) as error:
            log.info("location_import.lock_gone", image=self._task.image_id, reason=type(error).__name__)

    async def _image(self) -> Image:
        assert self._task.image_id is not None
        return await self._tools.registry.images.get(GLINT, self._task.image_id)

    async def _update(self, changes: ImageChanges, status: Status | None) -> None:
        assert self._task.image_id is not None
        await self._tools.registry.images.update(
            GLINT,
            self._task.image_id,
            changes,
            from_status=() if status is None else (status,),
            lock=Lock.hold(self._task.id),
        )
