"""What a namespace holds by name: properties, objects and tags, each in a table of the same form."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic

from sqlalchemy import Table, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from upstream.errors import NotFound
from upstream.registry.metadefs import Item, MetadefObject, MetadefProperty, MetadefTag
from upstream.registry.sql import metadef_tables as tables
from upstream.registry.sql.database import Database
from upstream.registry.sql.exact import is_text
from upstream.registry.sql.failures import repeated
from upstream.registry.sql.metadefs import rows
from upstream.registry.sql.metadefs.namespace_rows import unique, visible
from upstream.registry.sql.metadefs.rows import AnyRow
from upstream.registry.sql.rows import now
from upstream.types import Context


@dataclass(frozen=True, slots=True)
class Kind(Generic[Item]):
    """One kind of items: its table, and the way from its rows to items and back."""

    noun: str
    table: Table
    to_item: Callable[[AnyRow], Item]
    to_values: Callable[[Item], dict[str, Any]]


PROPERTIES: Kind[MetadefProperty] = Kind("property", tables.metadef_properties, rows.to_property, rows.from_property)
OBJECTS: Kind[MetadefObject] = Kind("object", tables.metadef_objects, rows.to_object, rows.from_object)
TAGS: Kind[MetadefTag] = Kind("tag", tables.metadef_tags, rows.to_tag, rows.from_tag)


class SqlItems(Generic[Item]):
    """Each read is one snapshot of two statements, each write one transaction."""

    def __init__(self, database: Database, kind: Kind[Item]) -> None:
        self._database, self._kind, self._table = database, kind, kind.table

    async def list(self, context: Context, namespace: str) -> Sequence[Item]:
        async with self._database.read() as connection:
            namespace_id = (await visible(connection, context, namespace)).id
            statement = select(self._table).where(self._table.c.namespace_id == namespace_id)
            found = await connection.execute(statement.order_by(self._table.c.id))
        return [self._kind.to_item(row) for row in found]

    async def get(self, context: Context, namespace: str, name: str) -> Item:
        async with self._database.read() as connection:
            namespace_id = (await visible(connection, context, namespace)).id
            return self._kind.to_item(await self._row(connection, namespace_id, name))

    @repeated
    async def create(self, context: Context, namespace: str, item: Item) -> Item:
        async with self._database.write() as connection:
            namespace_id = (await visible(connection, context, namespace, locks=True)).id
            await insert_items(connection, self._kind, namespace_id, [item])
            return self._kind.to_item(await self._row(connection, namespace_id, item.name))

    @repeated
    async def update(self, context: Context, namespace: str, name: str, item: Item) -> Item:
        async with self._database.write() as connection:
            namespace_id = (await visible(connection, context, namespace, locks=True)).id
            row = await self._row(connection, namespace_id, name)
            values = self._kind.to_values(item) | {"updated_at": now()}
            with unique(self._kind.noun, item.name):
                await connection.execute(update(self._table).where(self._table.c.id == row.id).values(values))
            return self._kind.to_item(await self._row(connection, namespace_id, item.name))

    @repeated
    async def delete(self, context: Context, namespace: str, name: str) -> None:
        async with self._database.write() as connection:
            namespace_id = (await visible(connection, context, namespace, locks=True)).id
            row = await self._row(connection, namespace_id, name)
            await connection.execute(delete(self._table).where(self._table.c.id == row.id))

    @repeated
    async def delete_all(self, context: Context, namespace: str) -> None:
        async with self._database.write() as connection:
            namespace_id = (await visible(connection, context, namespace, locks=True)).id
            await connection.execute(delete(self._table).where(self._table.c.namespace_id == namespace_id))

    async def _row(self, connection: AsyncConnection, namespace_id: int, name: str) -> AnyRow:
        condition = (self._table.c.namespace_id == namespace_id, is_text(self._table.c.name, name))
        row = (await connection.execute(select(self._table).where(*condition))).first()
        if row is None:
            raise NotFound(f"metadata definition {self._kind.noun}", name)
        return row


async def insert_items(connection: AsyncConnection, kind: Kind[Item], namespace_id: int, items: Sequence[Item]) -> None:
    """Raises Duplicate and Invalid."""
    if not items:
        return
    moment = now()
    common = {"namespace_id": namespace_id, "created_at": moment, "updated_at": moment}
    with unique(kind.noun, *(item.name for item in items)):
        await connection.execute(kind.table.insert(), [common | kind.to_values(item) for item in items])
