"""The registry that keeps image metadata in a SQL database of Glance's schema."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from upstream.registry.config import RegistryConfig
from upstream.registry.sql.database import Database
from upstream.registry.sql.images import SqlImages
from upstream.registry.sql.locations import SqlLocations
from upstream.registry.sql.members import SqlMembers
from upstream.registry.sql.metadefs import SqlMetadefs
from upstream.registry.sql.schema import create_or_check
from upstream.registry.sql.tags import SqlTags
from upstream.registry.sql.tasks import SqlTasks
from upstream.registry.sql.usage import SqlUsage


class SqlRegistry:
    """Safe to use from many tasks at once. `database` is for tests and tools that look at the rows."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.images = SqlImages(database)
        self.tags = SqlTags(database)
        self.locations = SqlLocations(database)
        self.usage = SqlUsage(database)
        self.tasks = SqlTasks(database)
        self.members = SqlMembers(database)
        self.metadefs = SqlMetadefs(database)

    async def check(self) -> None:
        await self.database.check()


@asynccontextmanager
async def open_registry(config: RegistryConfig) -> AsyncIterator[SqlRegistry]:
    """Open the database of `config.url`, making the tables if it is empty.

    Raises RegistryMisconfigured if it is not Glance's at the revision we know, and Unavailable.
    """
    async with Database.open(config) as database:
        await create_or_check(database)
        yield SqlRegistry(database)
