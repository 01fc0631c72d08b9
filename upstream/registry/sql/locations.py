"""Locations of images in a SQL database, one at a time."""

from sqlalchemy import update

from upstream.errors import NotFound
from upstream.registry.sql.changes import touch
from upstream.registry.sql.database import Database
from upstream.registry.sql.failures import repeated
from upstream.registry.sql.rows import now
from upstream.registry.sql.tables import image_locations
from upstream.types import Status


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
