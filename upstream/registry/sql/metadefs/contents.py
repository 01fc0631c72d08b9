"""Reading namespaces with all they hold: one statement for each kind, however many namespaces there are."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from upstream.registry.metadefs import Association, Definitions, Item
from upstream.registry.sql.metadef_tables import metadef_namespace_resource_types
from upstream.registry.sql.metadefs.items import OBJECTS, PROPERTIES, TAGS, Kind
from upstream.registry.sql.metadefs.resource_types import select_associations
from upstream.registry.sql.metadefs.rows import AnyRow, to_association, to_namespace

T = TypeVar("T")
ByNamespace = Mapping[int, Sequence[T]]
IDS_MAX = 500  # in one statement


async def load_definitions(connection: AsyncConnection, namespaces: Sequence[AnyRow]) -> list[Definitions]:
    """All that these namespaces hold, in their order."""
    ids = [row.id for row in namespaces]
    associations = await load_associations(connection, ids)
    properties = await _load_items(connection, PROPERTIES, ids)
    objects = await _load_items(connection, OBJECTS, ids)
    tags = await _load_items(connection, TAGS, ids)
    return [
        Definitions(
            namespace=to_namespace(row),
            associations=tuple(associations[row.id]),
            properties=tuple(properties[row.id]),
            objects=tuple(objects[row.id]),
            tags=tuple(tags[row.id]),
        )
        for row in namespaces
    ]


async def load_associations(connection: AsyncConnection, ids: Sequence[int]) -> ByNamespace[Association]:
    column = metadef_namespace_resource_types.c.namespace_id
    return await _load(connection, select_associations(), column, ids, to_association)


async def _load_items(connection: AsyncConnection, kind: Kind[Item], ids: Sequence[int]) -> ByNamespace[Item]:
    statement = select(kind.table).order_by(kind.table.c.id)
    return await _load(connection, statement, kind.table.c.namespace_id, ids, kind.to_item)


async def _load(
    connection: AsyncConnection,
    statement: Select[*tuple[Any, ...]],
    column: ColumnElement[int],
    ids: Sequence[int],
    to_value: Callable[[AnyRow], T],
) -> ByNamespace[T]:
    found: defaultdict[int, list[T]] = defaultdict(list)
    for start in range(0, len(ids), IDS_MAX):
        for row in await connection.execute(statement.where(column.in_(ids[start : start + IDS_MAX]))):
            found[row.namespace_id].append(to_value(row))
    return found
