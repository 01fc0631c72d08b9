"""Make Glance's tables in an empty database; refuse one that is not at the revision we know."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, inspect, select, text

from upstream.errors import Unavailable
from upstream.registry.config import RegistryMisconfigured
from upstream.registry.sql import metadef_tables as metadef_tables  # noqa: PLC0414 - adds its tables to metadata
from upstream.registry.sql.database import Database
from upstream.registry.sql.failures import SERVICE
from upstream.registry.sql.revisions import CONTRACT_HEAD, MAKEABLE, Standing, State, advice, judge
from upstream.registry.sql.tables import alembic_version, metadata

CREATE_S = 120.0  # as long as all tables may take

# By which one process makes the tables while others wait. SQLite needs none: its writers come one by one.
_NAME, _LOCK_WAIT_S = "glint.schema", 60
_LOCK = {
    "postgresql": f"SELECT 1 FROM (SELECT pg_advisory_xact_lock(hashtext('{_NAME}'))) AS taken",
    "mysql": f"SELECT GET_LOCK('{_NAME}', {_LOCK_WAIT_S})",
}
_UNLOCK = {"mysql": f"SELECT RELEASE_LOCK('{_NAME}')"}  # whoever fails disconnects, and so gives it back


async def state_of(database: Database) -> State:
    """Raises Unavailable."""
    async with database.read() as connection:
        return await connection.run_sync(look)


async def create_or_check(database: Database) -> None:
    """Leave the database with the tables that we know: of several processes one creates and the others find.

    Raises RegistryMisconfigured if it belongs to another revision or to somebody else, and Unavailable.
    """
    state = await state_of(database)
    if state.standing in MAKEABLE:
        async with database.write(within_s=CREATE_S) as connection:
            state = await connection.run_sync(_create)
    if state.standing is not Standing.CURRENT:
        raise RegistryMisconfigured(f"registry.url: {advice(state)}.")


def _create(connection: Connection) -> State:
    """How the database is then."""
    with locked(connection):
        state = look(connection)
        if state.standing not in MAKEABLE:
            return state
        create(connection, state)
        return State(Standing.CURRENT, frozenset({CONTRACT_HEAD}))


@contextmanager
def locked(connection: Connection) -> Iterator[None]:
    """Nobody else makes or changes tables meanwhile. Raises Unavailable if somebody does so for too long."""
    dialect = connection.dialect.name
    if dialect in _LOCK and connection.scalar(text(_LOCK[dialect])) != 1:
        raise Unavailable(SERVICE, "another process is changing its tables")
    yield
    if dialect in _UNLOCK:
        connection.execute(text(_UNLOCK[dialect]))


def look(connection: Connection) -> State:
    tables = set(inspect(connection).get_table_names())
    stamps: set[str] = set()
    if alembic_version.name in tables:
        stamps.update(connection.scalars(select(alembic_version.c.version_num)))
    # Only a database without a stamp is looked into: with one it does not matter.
    has_rows = not stamps and any(
        connection.execute(select(text("1")).select_from(table).limit(1)).first()
        for name, table in metadata.tables.items()
        if name in tables
    )
    return judge(tables, metadata.tables.keys(), stamps, has_rows=has_rows)


def create(connection: Connection, state: State) -> None:
    """The caller holds the lock, and has just found `state`.

    MariaDB keeps the tables of a process that was killed while it made them. The table of stamps comes first and its
    row last, so that such a database can be told from one that somebody uses.
    """
    if state.standing is Standing.UNFINISHED:
        metadata.drop_all(connection)
    alembic_version.create(connection)
    metadata.create_all(connection, tables=[table for table in metadata.sorted_tables if table is not alembic_version])
    connection.execute(alembic_version.insert().values(version_num=CONTRACT_HEAD))
