"""Locations of images in a SQL database, one at a time."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select, true, update

from upstream.errors import Conflict, NotFound
from upstream.registry.base import AbandonedLocation
from upstream.registry.sql.changes import touch
from upstream.registry.sql.database import Database
from upstream.registry.sql.failures import repeated
from upstream.registry.sql.rows import now, to_naive
from upstream.registry.sql.tables import image_locations, images
from upstream.types import Location, Status


class SqlLocations:
    def __init__(self, database: Database) -> None:
        self._database = database

    @repeated
    async def settle(self, image_id: str, location_id: int, status: Status) -> None:
        is_gone = status is not Status.ACTIVE
        moment = now()
        values = {"status": status.value, "deleted": is_gone, "deleted_at": moment if is_gone else None}
        statement = update(image_locations).where(
            image_locations.c.id == location_id,
            image_locations.c.image_id == image_id,
            image_locations.c.status == Status.PENDING_DELETE.value,
        )
        async with self._database.write() as connection:
            if not (await connection.execute(statement.values(values | {"updated_at": moment}))).rowcount:
                raise NotFound("location", str(location_id))
            await touch(connection, image_id)

    async def abandoned(self, before: datetime, limit: int) -> Sequence[AbandonedLocation]:
        table = image_locations
        statement = (
            select(table.c.id, table.c.image_id, table.c.value, table.c.meta_data)
            .join_from(table, images, table.c.image_id == images.c.id)
            .where(
                table.c.deleted == true(),
                table.c.status == Status.PENDING_DELETE.value,
                table.c.updated_at < to_naive(before),
                images.c.status != Status.PENDING_DELETE.value,
            )
            .order_by(table.c.updated_at)
            .limit(limit)
        )
        async with self._database.statement() as connection:
            return [
                AbandonedLocation(
                    image_id=row.image_id,
                    location=Location(
                        id=row.id, url=row.value, metadata=row.meta_data or {}, status=Status.PENDING_DELETE
                    ),
                )
                for row in await connection.execute(statement)
            ]

    @repeated
    async def adopt(self, image_id: str, location_id: int, before: datetime) -> None:
        statement = update(image_locations).where(
            image_locations.c.id == location_id,
            image_locations.c.image_id == image_id,
            image_locations.c.status == Status.PENDING_DELETE.value,
            image_locations.c.updated_at < to_naive(before),
        )
        async with self._database.write() as connection:
            if not (await connection.execute(statement.values(updated_at=now()))).rowcount:
                raise Conflict(f"Location {location_id} of image {image_id} is looked after by another")
