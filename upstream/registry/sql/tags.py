"""Tags of images in a SQL database."""

from upstream.errors import NotFound
from upstream.registry.sql import changes as change
from upstream.registry.sql.database import Database
from upstream.registry.sql.failures import repeated
from upstream.registry.sql.images import locked
from upstream.types import Context


class SqlTags:
    """Each call is one transaction, and a change of the image: its `updated_at` moves."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @repeated
    async def add(self, context: Context, image_id: str, tag: str) -> None:
        async with self._database.write() as connection:
            image = await locked(connection, context, image_id)
            there = [value for _, value in image.tags]
            if tag not in there:
                await change.set_tags(connection, image_id, [*there, tag])
                await change.touch(connection, image_id)

    @repeated
    async def remove(self, context: Context, image_id: str, tag: str) -> None:
        async with self._database.write() as connection:
            await locked(connection, context, image_id)
            if not await change.remove_tag(connection, image_id, tag):
                raise NotFound("tag", tag)
            await change.touch(connection, image_id)
