"""Resource types, and which namespaces are meant for them."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Select, and_, delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from upstream.errors import NotFound
from upstream.registry.metadefs import Association, ResourceType
from upstream.registry.sql.database import Database
from upstream.registry.sql.exact import is_text
from upstream.registry.sql.failures import repeated
from upstream.registry.sql.metadef_tables import metadef_namespace_resource_types as associations
from upstream.registry.sql.metadef_tables import metadef_resource_types as resource_types
from upstream.registry.sql.metadefs.namespace_rows import unique, visible
from upstream.registry.sql.metadefs.rows import (
    AnyRow,
    from_association,
    text,
    to_association,
    to_resource_type,
)
from upstream.registry.sql.rows import now
from upstream.types import Context

NAMES_MAX = 500  # in one statement


class SqlResourceTypes:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> Sequence[ResourceType]:
        async with self._database.statement() as connection:
            found = await connection.execute(select(resource_types).order_by(resource_types.c.id))
        return [to_resource_type(row) for row in found]

    async def list(self, context: Context, namespace: str) -> Sequence[Association]:
        async with self._database.read() as connection:
            namespace_id = (await visible(connection, context, namespace)).id
            found = await connection.execute(select_associations().where(associations.c.namespace_id == namespace_id))
        return [to_association(row) for row in found]

    async def get(self, context: Context, namespace: str, name: str) -> Association:
        async with self._database.read() as connection:
            namespace_id = (await visible(connection, context, namespace)).id
            return to_association(await self._row(connection, namespace_id, name))

    @repeated
    async def associate(self, context: Context, namespace: str, association: Association) -> Association:
        async with self._database.write() as connection:
            namespace_id = (await visible(connection, context, namespace, locks=True)).id
            ids = await insert_associations(connection, namespace_id, [association], protected=False)
            is_it = (
                associations.c.namespace_id == namespace_id,
                associations.c.resource_type_id == ids[association.name],
            )
            return to_association((await connection.execute(select_associations().where(*is_it))).one())

    @repeated
    async def dissociate(self, context: Context, namespace: str, name: str) -> None:
        async with self._database.write() as connection:
            namespace_id = (await visible(connection, context, namespace, locks=True)).id
            row = await self._row(connection, namespace_id, name)
            pair = (
                associations.c.namespace_id == namespace_id,
                associations.c.resource_type_id == row.resource_type_id,
            )
            await connection.execute(delete(associations).where(and_(*pair)))

    @staticmethod
    async def _row(connection: AsyncConnection, namespace_id: int, name: str) -> AnyRow:
        condition = (associations.c.namespace_id == namespace_id, is_text(resource_types.c.name, name))
        row = (await connection.execute(select_associations().where(*condition))).first()
        if row is None:
            raise NotFound("metadata definition resource type", name)
        return row


def select_associations() -> Select[*tuple[Any, ...]]:
    """Associations with their resource types' names, by these."""
    joined = associations.join(resource_types, associations.c.resource_type_id == resource_types.c.id)
    return select(resource_types.c.name, *associations.c).select_from(joined).order_by(resource_types.c.name)


async def insert_associations(
    connection: AsyncConnection, namespace_id: int, new: Sequence[Association], *, protected: bool
) -> Mapping[str, int]:
    """The ids of the resource types. Those that are not there yet are made, `protected` or not.

    Raises Duplicate and Invalid.
    """
    if not new:
        return {}
    moment = now()
    ids = await resource_type_ids(connection, [each.name for each in new], protected=protected)
    common = {"namespace_id": namespace_id, "created_at": moment, "updated_at": moment}
    with unique("resource type association", *ids):
        await connection.execute(
            associations.insert(),
            [common | {"resource_type_id": ids[each.name]} | from_association(each) for each in new],
        )
    return ids


async def resource_type_ids(connection: AsyncConnection, names: Sequence[str], *, protected: bool) -> Mapping[str, int]:
    """The ids of these resource types, which are made if they are not there."""
    wanted = dict.fromkeys(names)
    moment = now()
    ids = await _find(connection, list(wanted))
    missing = [name for name in wanted if name not in ids]
    if missing:
        common = {"protected": protected, "created_at": moment, "updated_at": moment}
        rows = [common | {"name": text("the resource type's name", name)} for name in missing]
        with unique("resource type", *missing):
            await connection.execute(resource_types.insert(), rows)
        ids |= await _find(connection, missing)
    return ids


async def _find(connection: AsyncConnection, names: Sequence[str]) -> dict[str, int]:
    folds = connection.dialect.name in {"mysql", "mariadb"}  # there no two names differ by case alone
    ids: dict[str, int] = {}
    for start in range(0, len(names), NAMES_MAX):
        some = resource_types.c.name.in_(names[start : start + NAMES_MAX])
        for row in await connection.execute(select(resource_types.c.name, resource_types.c.id).where(some)):
            ids[row.name.casefold() if folds else row.name] = row.id
    keys = {name: name.casefold() if folds else name for name in names}
    return {name: ids[key] for name, key in keys.items() if key in ids}
