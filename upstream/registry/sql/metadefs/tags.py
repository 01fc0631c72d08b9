"""Tags of a namespace: as other items, and in pages and lists."""

from collections.abc import Sequence

from sqlalchemy import delete, select

from upstream.registry.metadefs import MetadefTag, TagQuery
from upstream.registry.sql.database import Database
from upstream.registry.sql.failures import repeated
from upstream.registry.sql.metadef_tables import metadef_tags
from upstream.registry.sql.metadefs.items import TAGS, SqlItems, insert_items
from upstream.registry.sql.metadefs.namespace_rows import visible
from upstream.registry.sql.metadefs.paging import Page
from upstream.registry.sql.metadefs.rows import to_tag
from upstream.types import Context


class SqlMetadefTags(SqlItems[MetadefTag]):
    def __init__(self, database: Database) -> None:
        super().__init__(database, TAGS)

    async def page(self, context: Context, namespace: str, query: TagQuery) -> Sequence[MetadefTag]:
        page = Page(metadef_tags, query.sort_key, self._database.dialect, descending=query.descending)
        async with self._database.read() as connection:
            namespace_id = (await visible(connection, context, namespace)).id
            statement = page.ordered(select(metadef_tags).where(metadef_tags.c.namespace_id == namespace_id))
            if query.marker is not None:
                statement = page.after(statement, await self._row(connection, namespace_id, query.marker))
            found = await connection.execute(statement.limit(query.limit))
        return [to_tag(row) for row in found]

    @repeated
    async def create_many(self, context: Context, namespace: str, names: Sequence[str], *, append: bool) -> None:
        async with self._database.write() as connection:
            namespace_id = (await visible(connection, context, namespace, locks=True)).id
            if names and not append:
                await connection.execute(delete(metadef_tags).where(metadef_tags.c.namespace_id == namespace_id))
            await insert_items(connection, TAGS, namespace_id, [MetadefTag(name=name) for name in names])
