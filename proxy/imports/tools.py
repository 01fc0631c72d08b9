"""What imports are made with."""

from concurrent.futures import Executor
from dataclasses import dataclass

import structlog

from cache import ImageCache
from proxy.api.config import ApiConfig
from proxy.deletion.scrubber import Scrubber
from proxy.quotas import Quotas
from upstream.errors import DataNotFound, Invalid, NotSupported, UpstreamError
from upstream.glances import Glances
from upstream.keys import Keys
from upstream.registry import Registry
from upstream.stores import Staging, Stores, Web
from upstream.types import Location

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportTools:
    """Open as long as the services are."""

    config: ApiConfig
    registry: Registry
    stores: Stores
    staging: Staging
    web: Web
    glances: Glances | None
    keys: Keys
    quotas: Quotas
    scrubber: Scrubber
    cache: ImageCache
    threads: Executor

    async def delete(self, image_id: str, location: Location) -> None:
        """Data that the registry knows no more, now or when their store is back."""
        try:
            await self.stores.delete(location)
        except (DataNotFound, NotSupported, Invalid) as error:
            log.info("data.not_deleted", image=image_id, store=location.store, reason=str(error))
        except UpstreamError as error:
            log.warning("import.data_left", image=image_id, store=location.store, error=type(error).__name__)
            await self._leave(image_id, location)

    async def _leave(self, image_id: str, location: Location) -> None:
        try:
            await self.scrubber.leave(image_id, location)
        except UpstreamError as error:
            log.error("import.data_lost", image=image_id, store=location.store, error=type(error).__name__)
