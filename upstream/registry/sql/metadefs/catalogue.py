"""Loading, exporting and clearing definitions, as `glance-manage` does it but one namespace in one transaction."""

from collections.abc import Sequence

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from upstream.registry.metadefs import Association, Definitions, Item, Merge
from upstream.registry.sql.database import Database
from upstream.registry.sql.exact import is_text
from upstream.registry.sql.failures import repeated
from upstream.registry.sql.metadef_tables import (
    metadef_namespace_resource_types,
    metadef_namespaces,
    metadef_resource_types,
)
from upstream.registry.sql.metadefs.contents import load_definitions
from upstream.registry.sql.metadefs.items import OBJECTS, PROPERTIES, TAGS, Kind, insert_items
from upstream.registry.sql.metadefs.namespaces import (
    CONTENTS,
    delete_namespace,
    insert_definitions,
)
from upstream.registry.sql.metadefs.resource_types import insert_associations, resource_type_ids
from upstream.registry.sql.metadefs.rows import from_association, from_namespace
from upstream.registry.sql.rows import now


class SqlCatalogue:
    def __init__(self, database: Database) -> None:
        self._database = database

    @repeated
    async def load(self, definitions: Definitions, merge: Merge) -> bool:
        name = definitions.namespace.name
        async with self._database.write() as connection:
            is_it = is_text(metadef_namespaces.c.namespace, name)
            namespace_id = await connection.scalar(select(metadef_namespaces.c.id).where(is_it).with_for_update())
            if namespace_id is not None and merge is Merge.SKIP:
                return False
            if namespace_id is not None and merge is Merge.OVERWRITE:
                await delete_namespace(connection, namespace_id)
                namespace_id = None
            if namespace_id is None:
                await insert_definitions(connection, definitions, protected=True)
            else:
                await _merge(connection, namespace_id, definitions, prefers_new=merge is Merge.PREFER_NEW)
        return True

    async def export(self) -> Sequence[Definitions]:
        async with self._database.read() as connection:
            statement = select(metadef_namespaces).order_by(metadef_namespaces.c.namespace)
            return await load_definitions(connection, (await connection.execute(statement)).all())

    @repeated
    async def clear(self) -> None:
        async with self._database.write() as connection:
            for table in (*CONTENTS, metadef_namespaces, metadef_resource_types):
                await connection.execute(delete(table))


async def _merge(connection: AsyncConnection, namespace_id: int, new: Definitions, *, prefers_new: bool) -> None:
    """Add what is new to a namespace; with `prefers_new` change what is there too. Nothing goes."""
    if prefers_new:
        values = from_namespace(new.namespace) | {"updated_at": now()}
        await connection.execute(
            update(metadef_namespaces).where(metadef_namespaces.c.id == namespace_id).values(values)
        )
    await _merge_associations(connection, namespace_id, new.associations, prefers_new=prefers_new)
    await _merge_items(connection, PROPERTIES, namespace_id, new.properties, prefers_new=prefers_new)
    await _merge_items(connection, OBJECTS, namespace_id, new.objects, prefers_new=prefers_new)
    await _merge_items(connection, TAGS, namespace_id, new.tags, prefers_new=prefers_new)


async def _merge_associations(
    connection: AsyncConnection, namespace_id: int, new: Sequence[Association], *, prefers_new: bool
) -> None:
    table = metadef_namespace_resource_types
    ids = await resource_type_ids(connection, [each.name for each in new], protected=True)
    known = set(await connection.scalars(select(table.c.resource_type_id).where(table.c.namespace_id == namespace_id)))
    fresh = [each for each in new if ids[each.name] not in known]
    await insert_associations(connection, namespace_id, fresh, protected=True)
    if prefers_new:
        for each in new:
            if (resource_type_id := ids[each.name]) in known:
                pair = (table.c.namespace_id == namespace_id, table.c.resource_type_id == resource_type_id)
                values = from_association(each) | {"updated_at": now()}
                await connection.execute(update(table).where(*pair).values(values))


async def _merge_items(
    connection: AsyncConnection, kind: Kind[Item], namespace_id: int, new: Sequence[Item], *, prefers_new: bool
) -> None:
    table = kind.table
    known = {
        row.name: row.id
        for row in await connection.execute(
            select(table.c.name, table.c.id).where(table.c.namespace_id == namespace_id)
        )
    }
    await insert_items(connection, kind, namespace_id, [item for item in new if item.name not in known])
    if prefers_new:
        for item in new:
            if item.name in known:
                values = kind.to_values(item) | {"updated_at": now()}
                await connection.execute(update(table).where(table.c.id == known[item.name]).values(values))
