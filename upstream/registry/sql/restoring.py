"""An image that was deleted softly made alive again, with all that went with it."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from upstream.registry.sql.rows import now
from upstream.registry.sql.tables import image_locations, image_members, image_properties, image_tags, images
from upstream.types import Status

_SERVICES = "os_glance_"  # what services noted of work that is over


async def revive(connection: AsyncConnection, image_id: str, locations: Collection[int], since: datetime) -> None:
    """The image, these of its locations, and what else was deleted `since` then. The caller holds the image locked."""
    alive: dict[str, Any] = {"deleted": False, "deleted_at": None, "updated_at": now()}
    active = {"status": Status.ACTIVE.value}
    await connection.execute(update(images).where(images.c.id == image_id).values(alive | active))
    rows = image_locations.c.id.in_(list(locations))
    await connection.execute(update(image_locations).where(rows).values(alive | active))
    for table in (image_properties, image_members, image_tags):
        gone = update(table).where(table.c.image_id == image_id, table.c.deleted == true(), table.c.deleted_at >= since)
        if table is image_properties:
            gone = gone.where(~table.c.name.startswith(_SERVICES, autoescape=True))
        await connection.execute(gone.values(alive))
