"""Data that a DELETE from one store was about to remove when its process died: removed by whoever looks next."""

import asyncio
from datetime import UTC, datetime, timedelta

import structlog

from proxy.tasks import GLINT
from upstream.errors import Conflict, DataNotFound, Denied, Invalid, NotFound, NotSupported, UpstreamError
from upstream.registry import AbandonedLocation, Registry
from upstream.stores import Stores
from upstream.types import Image, Status

log = structlog.get_logger(__name__)

ABANDONED_AFTER_S = 600.0
_LIMIT = 100


class Leftovers:
    """Several workers of several hosts may look at once: each location is adopted by one of them."""

    def __init__(self, registry: Registry, stores: Stores) -> None:
        self._registry, self._stores = registry, stores

    async def watch(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.sweep()
            except UpstreamError as error:
                log.warning("leftovers.not_swept", error=type(error).__name__)
            await asyncio.sleep(ABANDONED_AFTER_S)

    async def sweep(self) -> None:
        """Raises Unavailable for the registry. A store that does not answer is asked again by a later sweep."""
        before = datetime.now(UTC) - timedelta(seconds=ABANDONED_AFTER_S)
        ours = {info.id for info in self._stores.infos()}
        for found in await self._registry.locations.abandoned(before, _LIMIT):
            if found.location.store not in ours:
                continue  # a host that has the store will come
            try:
                await self._finish(found, before)
            except UpstreamError as error:
                log.warning("leftover.stays", image=found.image_id, error=type(error).__name__)

    async def _finish(self, found: AbandonedLocation, before: datetime) -> None:
        assert found.location.id is not None
        try:
            await self._registry.locations.adopt(found.image_id, found.location.id, before)
        except Conflict:
            return
        status = await self._outcome(found, await self._image(found.image_id))
        if status is not None:
            await self._registry.locations.settle(found.image_id, found.location.id, status)
            log.info("leftover.settled", image=found.image_id, store=found.location.store, status=status)

    async def _outcome(self, found: AbandonedLocation, image: Image | None) -> Status | None:
        """What has become of the location; None: nothing yet. Raises Unavailable."""
        if image is not None and any(each.url == found.location.url for each in image.locations):
            return Status.DELETED  # it was registered anew: the data are that location's
        try:
            await self._stores.delete(found.location)
        except (Conflict, Denied):
            return None if image is None else Status.ACTIVE
        except (DataNotFound, NotSupported, Invalid) as error:
            log.info("data.not_deleted", image=found.image_id, store=found.location.store, reason=type(error).__name__)
        return Status.DELETED

    async def _image(self, image_id: str) -> Image | None:
        try:
            return await self._registry.images.get(GLINT, image_id)
        except NotFound:
            return None
