"""Namespaces in a SQL database."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, delete, exists, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from upstream.registry.metadefs import Definitions, Namespace, NamespaceQuery
from upstream.registry.sql.database import Database
from upstream.registry.sql.exact import is_one_of
from upstream.registry.sql.failures import repeated
from upstream.registry.sql.metadef_tables import (
    metadef_namespace_resource_types,
    metadef_namespaces,
    metadef_objects,
    metadef_properties,
    metadef_resource_types,
    metadef_tags,
)
from upstream.registry.sql.metadefs.contents import load_associations, load_definitions
from upstream.registry.sql.metadefs.items import OBJECTS, PROPERTIES, TAGS, insert_items
from upstream.registry.sql.metadefs.namespace_rows import is_listed, unique, visible
from upstream.registry.sql.metadefs.paging import Page
from upstream.registry.sql.metadefs.resource_types import insert_associations
from upstream.registry.sql.metadefs.rows import from_namespace, to_namespace
from upstream.registry.sql.rows import now
from upstream.types import Context

CONTENTS = (metadef_tags, metadef_objects, metadef_properties, metadef_namespace_resource_types)


class SqlNamespaces:
    """Each read sees one moment, each write is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, context: Context, name: str) -> Namespace:
        async with self._database.statement() as connection:
            return to_namespace(await visible(connection, context, name))

    async def definitions(self, context: Context, name: str) -> Definitions:
        async with self._database.read() as connection:
            return (await load_definitions(connection, [await visible(connection, context, name)]))[0]

    async def list(self, context: Context, query: NamespaceQuery) -> Sequence[Definitions]:
        page = Page(metadef_namespaces, query.sort_key, self._database.dialect, descending=query.descending)
        statement = page.ordered(select(metadef_namespaces).where(is_listed(context)))
        if query.visibility is not None:
            statement = statement.where(metadef_namespaces.c.visibility == query.visibility)
        if query.resource_types is not None:
            statement = statement.where(_is_meant_for(query.resource_types))
        async with self._database.read() as connection:
            if query.marker is not None:
                statement = page.after(statement, await visible(connection, context, query.marker))
            rows = (await connection.execute(statement.limit(query.limit))).all()
            associations = await load_associations(connection, [row.id for row in rows])
        return [Definitions(namespace=to_namespace(row), associations=tuple(associations[row.id])) for row in rows]

    @repeated
    async def create(self, context: Context, definitions: Definitions) -> Definitions:
        async with self._database.write() as connection:
            namespace_id = await insert_definitions(connection, definitions, protected=False)
            statement = select(metadef_namespaces).where(metadef_namespaces.c.id == namespace_id)
            row = (await connection.execute(statement)).one()
            return (await load_definitions(connection, [row]))[0]

    @repeated
    async def update(self, context: Context, name: str, namespace: Namespace) -> Namespace:
        values = from_namespace(namespace) | {"updated_at": now()}
        async with self._database.write() as connection:
            row = await visible(connection, context, name, locks=True)
            is_it = metadef_namespaces.c.id == row.id
            with unique("namespace", namespace.name):
                await connection.execute(update(metadef_namespaces).where(is_it).values(values))
            return to_namespace((await connection.execute(select(metadef_namespaces).where(is_it))).one())

    @repeated
    async def delete(self, context: Context, name: str) -> None:
        async with self._database.write() as connection:
            row = await visible(connection, context, name, locks=True)
            await delete_namespace(connection, row.id)


def _is_meant_for(names: Sequence[str]) -> ColumnElement[bool]:
    joined = metadef_namespace_resource_types.join(
        metadef_resource_types, metadef_namespace_resource_types.c.resource_type_id == metadef_resource_types.c.id
    )
    return (
        exists()
        .select_from(joined)
        .where(
            metadef_namespace_resource_types.c.namespace_id == metadef_namespaces.c.id,
            is_one_of(metadef_resource_types.c.name, names),
        )
    )


async def insert_definitions(connection: AsyncConnection, definitions: Definitions, *, protected: bool) -> int:
    """A new namespace with all it holds, and its id; resource types that are new are `protected` or not.

    Raises Duplicate and Invalid.
    """
    moment = now()
    values = from_namespace(definitions.namespace) | {"created_at": moment, "updated_at": moment}
    with unique("namespace", definitions.namespace.name):
        inserted = await connection.execute(metadef_namespaces.insert().values(values))
    assert inserted.inserted_primary_key is not None
    namespace_id: int = inserted.inserted_primary_key[0]
    await insert_associations(connection, namespace_id, definitions.associations, protected=protected)
    await insert_items(connection, PROPERTIES, namespace_id, definitions.properties)
    await insert_items(connection, OBJECTS, namespace_id, definitions.objects)
    await insert_items(connection, TAGS, namespace_id, definitions.tags)
    return namespace_id


async def delete_namespace(connection: AsyncConnection, namespace_id: int) -> None:
    """With all it holds."""
    for table in CONTENTS:
        await connection.execute(delete(table).where(table.c.namespace_id == namespace_id))
    await connection.execute(delete(metadef_namespaces).where(metadef_namespaces.c.id == namespace_id))
