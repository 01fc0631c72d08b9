"""Make Glance's tables in an empty database; refuse one that is not at the version we know."""

from collections.abc import Set as AbstractSet

from sqlalchemy import Connection, inspect, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from upstream.registry.config import RegistryMisconfigured
from upstream.registry.sql import metadef_tables as metadef_tables  # noqa: PLC0414 - adds its tables to metadata
from upstream.registry.sql.tables import alembic_version, metadata

# Glance's migrations end here: releases after 2024.1 added none. A full sync leaves the contract head alone, because
# alembic lets it stand for the expand head it depends on; older notes show both.
CONTRACT_HEAD = "2024_1_contract01"
EXPAND_HEAD = "2024_1_expand01"


# By which one process makes the tables while others wait. SQLite needs none: its writers come one by one.
_NAME, _LOCK_WAIT_S = "glint.schema", 60
CREATE_S = 120.0  # as long as all tables may take
_LOCK = {
    "postgresql": f"SELECT pg_advisory_xact_lock(hashtext('{_NAME}'))",
    "mysql": f"SELECT GET_LOCK('{_NAME}', {_LOCK_WAIT_S})",
}
_UNLOCK = {"mysql": f"SELECT RELEASE_LOCK('{_NAME}')"}  # whoever fails disconnects, and so gives it back


async def create_or_check(connection: AsyncConnection) -> None:
    """Run in a write transaction, so that of several processes one creates and the others find.

    Raises RegistryMisconfigured if the database belongs to another version or to somebody else.
    """
    await connection.run_sync(_create_or_check_alone)


def _create_or_check_alone(connection: Connection) -> None:
    dialect = connection.dialect.name
    if dialect in _LOCK:
        connection.execute(text(_LOCK[dialect]))
    _create_or_check(connection)
    if dialect in _UNLOCK:
        connection.execute(text(_UNLOCK[dialect]))


def _create_or_check(connection: Connection) -> None:
    names = set(inspect(connection).get_table_names())
    if alembic_version.name in names:
        check_stamp(set(connection.scalars(select(alembic_version.c.version_num))))
    elif found := sorted(names.intersection(metadata.tables)):
        raise RegistryMisconfigured(
            f"registry.url: this database has tables such as {found[0]} but no alembic_version, so its version is "
            "unknown. If a Glance made it, run that Glance's `glance-manage db sync` on it first."
        )
    else:
        metadata.create_all(connection, checkfirst=False)
        connection.execute(alembic_version.insert().values(version_num=CONTRACT_HEAD))


def check_stamp(stamped: AbstractSet[str]) -> None:
    """Raises RegistryMisconfigured unless this is the schema of Glance 2024.1 to today."""
    if CONTRACT_HEAD in stamped and stamped <= {CONTRACT_HEAD, EXPAND_HEAD}:
        return
    raise RegistryMisconfigured(
        f"registry.url: this database is at schema version {', '.join(sorted(stamped)) or '(none)'}, and "
        f"{CONTRACT_HEAD} is needed. If it is older, run `glance-manage db sync` of Glance 2024.1 or later on it, "
        "after a backup; if it is newer, a newer Glint is needed."
    )
