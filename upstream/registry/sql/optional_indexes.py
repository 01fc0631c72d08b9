"""Indexes that Glance's schema does not have and an operator may add, for filters that few of very many images fit.

None of them changes what is answered, and no program relies on one: they may come and go while services run, and a
Glance on the same database takes no notice. `narrowing` asks the questions that they answer.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from upstream.errors import Conflict
from upstream.registry.sql.database import Database
from upstream.registry.sql.narrowing import BEGINNING
from upstream.registry.sql.tables import metadata

BUILD_S = 4 * 3600.0  # an index over very many rows, beside a service that goes on writing

# Values may be longer than an index of the servers takes: there it has their beginnings.
_BEGINNINGS = {
    "sqlite": "value",
    "postgresql": f"left(value, {BEGINNING})",
    "mysql": f"value({BEGINNING})",
}


@dataclass(frozen=True, slots=True)
class OptionalIndex:
    """`fields` is what it is over, in words and in SQL, but for the beginning of a long value."""

    name: str
    table: str
    fields: str

    def columns(self, dialect: str) -> str:
        return self.fields.replace("value", _BEGINNINGS[dialect]) if self.table == "image_properties" else self.fields


OPTIONAL = (
    OptionalIndex("glint_image_properties_name_value", "image_properties", "name, value"),
    OptionalIndex("glint_image_tags_value", "image_tags", "value"),
    OptionalIndex("glint_images_name", "images", "name"),
)


class Presence(StrEnum):
    ABSENT = "absent"
    PRESENT = "present"
    BUILDING = "building"
    UNFINISHED = "unfinished"  # of a build that broke off: it costs what an index costs, and helps nobody


@dataclass(frozen=True, slots=True)
class Found:
    """An index as a database has it; `size_bytes` is None where there is none, or the database does not tell."""

    index: OptionalIndex
    presence: Presence
    size_bytes: int | None
    rows: int


async def optional_indexes(database: Database) -> Sequence[Found]:
    """How each of them stands. The rows of its table are counted. Raises Unavailable."""
    async with database.statement() as connection:
        there = await _present(connection)
        sizes = await _sizes(connection, [name for name in there if there[name] is Presence.PRESENT])
        return [
            Found(index, there.get(index.name, Presence.ABSENT), sizes.get(index.name), await _rows(connection, index))
            for index in OPTIONAL
        ]


async def add(database: Database) -> AsyncIterator[OptionalIndex]:
    """Make those that are not there, one after the other; each is yielded when it is ready.

    Servers go on reading and writing meanwhile; writers of SQLite wait, for as long as they wait for any other.
    Who is cancelled, or whose connection breaks, may leave an unfinished one on PostgreSQL, which the next call makes
    anew. Raises Conflict if somebody else is at it, and Unavailable.
    """
    async with _alone(database) as connection:
        there = await _present(connection)
        for index in OPTIONAL:
            presence = there.get(index.name, Presence.ABSENT)
            if presence is Presence.BUILDING:
                raise Conflict(f"The index {index.name} is being built by somebody else")
            if presence is Presence.UNFINISHED:
                await connection.execute(text(_drop(index, database.dialect)))
            if presence is not Presence.PRESENT:
                await connection.execute(text(_create(index, database.dialect)))
                yield index


async def drop(database: Database) -> AsyncIterator[OptionalIndex]:
    """Remove those that are there, finished or not. Raises as `add`."""
    async with _alone(database) as connection:
        there = await _present(connection)
        for index in OPTIONAL:
            if there.get(index.name) is Presence.BUILDING:
                raise Conflict(f"The index {index.name} is being built by somebody else")
            if index.name in there:
                await connection.execute(text(_drop(index, database.dialect)))
                yield index


async def present_optional_indexes(database: Database) -> Mapping[str, Presence]:
    """Those that are there in whatever state, by name. Raises Unavailable."""
    async with database.statement() as connection:
        return await _present(connection)


def _create(index: OptionalIndex, dialect: str) -> str:
    how = "CONCURRENTLY " if dialect == "postgresql" else ""
    online = " ALGORITHM=INPLACE LOCK=NONE" if dialect == "mysql" else ""
    return f"CREATE INDEX {how}{index.name} ON {index.table} ({index.columns(dialect)}){online}"


def _drop(index: OptionalIndex, dialect: str) -> str:
    if dialect == "mysql":
        return f"DROP INDEX {index.name} ON {index.table}"
    return f"DROP INDEX {'CONCURRENTLY ' if dialect == 'postgresql' else ''}{index.name}"


# By which of two at once is told no. Nobody waits for it: who waited would hold up a build of PostgreSQL's, which waits
# for all statements that began before it. SQLite needs none, as its writers come one by one.
_NAME = "glint.optional_indexes"
_LOCK = {
    "postgresql": f"SELECT pg_try_advisory_lock(hashtext('{_NAME}'))",
    "mysql": f"SELECT GET_LOCK('{_NAME}', 0)",
}
_UNLOCK = {
    "postgresql": f"SELECT pg_advisory_unlock(hashtext('{_NAME}'))",
    "mysql": f"SELECT RELEASE_LOCK('{_NAME}')",
}


@asynccontextmanager
async def _alone(database: Database) -> AsyncIterator[AsyncConnection]:
    """A connection whose statements commit by themselves, as a build beside writers must. Raises Conflict."""
    if database.dialect == "sqlite":
        async with database.write(within_s=BUILD_S) as connection:
            yield connection
        return
    async with database.statement(within_s=BUILD_S) as connection:
        if not await connection.scalar(text(_LOCK[database.dialect])):
            raise Conflict("Another process is adding or dropping the optional indexes of this database")
        try:
            yield connection
        except BaseException:
            await connection.invalidate()  # which gives the lock back too
            raise
        await connection.execute(text(_UNLOCK[database.dialect]))


_LIST = ", ".join(f"'{index.name}'" for index in OPTIONAL)
_STATES = {
    "sqlite": f"SELECT name, 1, 0 FROM sqlite_master WHERE type = 'index' AND name IN ({_LIST})",
    "postgresql": "SELECT c.relname, i.indisvalid,"
    " EXISTS (SELECT 1 FROM pg_stat_progress_create_index AS p WHERE p.index_relid = c.oid)"
    " FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid"
    f" WHERE c.relname IN ({_LIST}) AND pg_table_is_visible(i.indrelid)",
    "mysql": "SELECT DISTINCT index_name, 1, 0 FROM information_schema.statistics"
    f" WHERE table_schema = DATABASE() AND index_name IN ({_LIST})",
}
_SIZES = {
    "sqlite": f"SELECT name, SUM(pgsize) FROM dbstat WHERE name IN ({_LIST}) GROUP BY name",
    "postgresql": f"SELECT relname, pg_relation_size(oid) FROM pg_class WHERE relname IN ({_LIST})"
    " AND pg_table_is_visible(oid)",
    "mysql": "SELECT index_name, stat_value * @@innodb_page_size FROM mysql.innodb_index_stats"
    f" WHERE database_name = DATABASE() AND stat_name = 'size' AND index_name IN ({_LIST})",
}


async def _present(connection: AsyncConnection) -> dict[str, Presence]:
    rows = await connection.execute(text(_STATES[connection.dialect.name]))
    return {
        name: Presence.PRESENT if is_valid else Presence.BUILDING if is_building else Presence.UNFINISHED
        for name, is_valid, is_building in rows
    }


async def _sizes(connection: AsyncConnection, names: Sequence[str]) -> dict[str, int]:
    """None where SQLite is built without its table of pages, or an account of MariaDB may not read its statistics."""
    if not names:
        return {}
    try:
        rows = (await connection.execute(text(_SIZES[connection.dialect.name]))).all()
    except DBAPIError as error:
        if error.connection_invalidated:
            raise
        return {}
    return {name: int(size_bytes) for name, size_bytes in rows}


async def _rows(connection: AsyncConnection, index: OptionalIndex) -> int:
    return await connection.scalar(select(func.count()).select_from(metadata.tables[index.table])) or 0
