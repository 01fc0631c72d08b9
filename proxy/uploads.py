"""Image data on their way in: hashed and looked at while the store writes them, kept only if all of it is right."""

import asyncio
from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import structlog
from aiohttp import StreamReader, web

from proxy.errors import BadRequest, Gone
from proxy.examination import Examination, verifier_of
from proxy.quotas import StorageLimit
from proxy.services import Services
from upstream.errors import Conflict, DataNotFound, Denied, NotFound, StoreFull, Unavailable, UpstreamError
from upstream.registry import LEFTOVER, Ceiling, ImageChanges
from upstream.stores import Stored
from upstream.types import Context, Image, Location, Status

log = structlog.get_logger(__name__)

_PIECE_BYTES = 1024 * 1024
_CLOCK_STEP = timedelta(seconds=1)  # of the times of some databases


async def pieces(content: StreamReader, *, idle_s: float) -> AsyncGenerator[bytes]:
    """The body in pieces of about 1 MiB: each costs the waking of threads.

    Raises BadRequest if it breaks off, or nothing comes for `idle_s`: an image must not be `saving` for ever.
    """
    parts: list[bytes] = []
    size_bytes = 0
    try:
        while True:
            async with asyncio.timeout(idle_s):
                part = await content.readany()
            if not part:
                break
            parts.append(part)
            size_bytes += len(part)
            if size_bytes >= _PIECE_BYTES:
                yield b"".join(parts)
                parts, size_bytes = [], 0
    except (web.RequestPayloadError, ConnectionError) as error:
        raise BadRequest("The image data broke off before their end.") from error
    except TimeoutError as error:
        raise BadRequest(f"No image data came for {idle_s:g} s.") from error
    if parts:
        yield b"".join(parts)


async def begin_saving(services: Services, context: Context, image: Image) -> Image:
    """Make a queued image `saving`. Raises what keeps it from being so."""
    ceiling = await services.quotas.uploading(context)
    began = datetime.now(UTC)
    saving = ImageChanges(columns={"status": Status.SAVING})
    try:
        return await services.registry.images.update(
            context, image.id, saving, from_status=(Status.QUEUED,), ceiling=ceiling
        )
    except Unavailable:
        # The answer may be lost of a change that was made: nobody would ever send the data of such an image.
        requeue = partial(_requeue_if_saving_since, services, context, image.id, began, datetime.now(UTC))
        services.repairs.later(f"upload {image.id}", requeue)
        raise


async def _requeue_if_saving_since(
    services: Services, context: Context, image_id: str, after: datetime, before: datetime
) -> None:
    """One that became `saving` at another time is somebody else's."""
    images = services.registry.images
    with suppress(NotFound, Conflict):
        now = await images.get(context, image_id)
        if now.status is Status.SAVING and after - _CLOCK_STEP <= now.updated_at <= before + _CLOCK_STEP:
            queued = ImageChanges(columns={"status": Status.QUEUED})
            await images.update(context, image_id, queued, from_status=(Status.SAVING,))


class Upload:
    """One image's data. `receive` may be called once."""

    def __init__(self, services: Services, context: Context, image: Image, expected_bytes: int | None) -> None:
        self._services, self._context, self._image = services, context, image
        self._expected_bytes = expected_bytes
        self._examination = Examination(image, expected_bytes, services.config.api)
        self._limit: StorageLimit | None = None

    async def receive(self, data: AsyncGenerator[bytes], store: str | None) -> None:
        """Store the data of an image that is `saving` and make it active.

        Raises what is wrong with the data, the store or the quota; then, as when cancelled, the image is queued again
        and nothing is stored, now or when its store is back. Raises Gone if the image was deleted meanwhile.
        """
        try:
            await self._services.scrubber.clear(self._image.id)
            await self._fit()
            self._examination.verifier = await verifier_of(self._image, self._services.keys, self._context)
            async with aclosing(self._examination.passed_on(data)) as chunks:
                stored = await self._write(chunks, store)
        except BaseException:
            await self._requeue()
            raise
        try:
            await self._activate(stored)
        except (NotFound, Conflict) as error:
            await self._is_kept(stored)
            raise Gone(f"Image {self._image.id} was deleted while its data came in.") from error
        except BaseException as error:
            # A registry may lose its answer after it has done what was asked.
            if not (await self._is_kept(stored) and isinstance(error, UpstreamError)):
                raise

    async def _write(self, chunks: AsyncGenerator[bytes], store: str | None) -> Stored:
        try:
            return await self._services.stores.write(self._image.id, chunks, self._expected_bytes, store)
        except (Unavailable, Denied, StoreFull):
            # A store that did not take all of it may not have let go of the beginning either.
            await self._leave(Location(url=LEFTOVER, metadata={"store": self._services.stores.chosen(store)}))
            raise

    async def _fit(self) -> None:
        """Stop the data where the project has no more room. Raises LimitExceeded if it is known to be too little."""
        self._limit = await self._services.quotas.storage(self._context)
        if self._limit is not None:
            room = self._services.quotas.room_bytes(self._limit, self._image.id, self._expected_bytes)
            self._examination.room_bytes = await room

    async def _activate(self, stored: Stored) -> None:
        columns = {"status": Status.ACTIVE, **self._examination.columns()}
        ceiling = None if self._limit is None else self._limit.ceiling(stored.size_bytes)
        await self._update(columns, locations=(stored.location,), ceiling=ceiling)
        log.info("upload.finished", image=self._image.id, size_bytes=stored.size_bytes, store=stored.location.store)

    async def _is_kept(self, stored: Stored) -> bool:
        """As `_settle`. If nobody can tell now, that is done when somebody can."""
        try:
            return await self._settle(stored)
        except UpstreamError as error:
            log.error("upload.undecided", image=self._image.id, error=type(error).__name__)
            self._services.repairs.later(f"upload {self._image.id}", partial(self._settle, stored))
            return False

    async def _settle(self, stored: Stored) -> bool:
        """Whether the image points at the data; if it does not, they are removed and the image is queued again.

        Raises UpstreamError if nobody can tell: data that an image may point at are never removed.
        """
        try:
            now = await self._services.registry.images.get(self._context, self._image.id)
        except NotFound:
            await self._remove(stored)
            return False
        if any(location.url == stored.location.url for location in now.locations):
            return True
        await self._remove(stored)
        await self._requeue()
        return False

    async def _remove(self, stored: Stored) -> None:
        """Now, or when the store is back."""
        try:
            await self._services.stores.delete(stored.location)
        except DataNotFound:
            return
        except UpstreamError as error:
            log.warning("upload.data_left", image=self._image.id, store=stored.location.store, reason=str(error))
            await self._leave(stored.location)

    async def _leave(self, location: Location) -> None:
        """Have it deleted later: the registry remembers it, or this process until the registry is there."""
        leave = partial(self._services.scrubber.leave, self._image.id, location)
        try:
            await leave()
        except UpstreamError:
            self._services.repairs.later(f"leftover of {self._image.id}", leave)

    async def _requeue(self) -> None:
        """Back to where an upload may begin, now or as soon as the registry answers again."""
        try:
            await self._set_queued()
        except UpstreamError as error:
            log.error("upload.left_saving", image=self._image.id, error=type(error).__name__)
            self._services.repairs.later(f"upload {self._image.id}", self._set_queued)

    async def _set_queued(self) -> None:
        """An image that was deleted meanwhile stays deleted."""
        columns = dict.fromkeys(("size", "virtual_size", "checksum", "os_hash_algo", "os_hash_value"))
        try:
            await self._update({"status": Status.QUEUED, **columns})
        except (NotFound, Conflict):
            log.info("upload.image_gone", image=self._image.id)

    async def _update(
        self, columns: dict[str, Any], locations: Collection[Any] | None = None, ceiling: Ceiling | None = None
    ) -> None:
        changes = ImageChanges(columns=columns, locations=None if locations is None else tuple(locations))
        await self._services.registry.images.update(
            self._context, self._image.id, changes, from_status=(Status.SAVING,), ceiling=ceiling
        )
