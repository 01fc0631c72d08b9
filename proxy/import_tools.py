"""What imports are made with."""

from dataclasses import dataclass

import structlog

from proxy.api.config import ApiConfig
from proxy.quotas import Quotas
from upstream.errors import UpstreamError
from upstream.glances import Glances
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
    quotas: Quotas

    async def delete(self, image_id: str, location: Location) -> None:
        """Data that the registry knows no more: failing to remove them loses nothing but room."""
        try:
            await self.stores.delete(location)
        except UpstreamError as error:
            log.error("import.data_left", image=image_id, store=location.store, error=type(error).__name__)
