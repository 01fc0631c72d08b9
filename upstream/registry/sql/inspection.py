"""What a database lacks of the tables that its stamp promises."""

from collections.abc import Iterator

from sqlalchemy import Connection, Inspector, Table, inspect

from upstream.registry.sql.database import Database
from upstream.registry.sql.tables import metadata


async def missing(database: Database) -> list[str]:
    """Tables, columns and indexes that Glance's migrations made and somebody removed, in words. Raises Unavailable."""
    async with database.read() as connection:
        return await connection.run_sync(_missing)


def _missing(connection: Connection) -> list[str]:
    inspector = inspect(connection)
    there = set(inspector.get_table_names())
    found: list[str] = []
    for name, table in metadata.tables.items():
        found.extend(_missing_in(inspector, table) if name in there else [f"table {name}"])
    return found


def _missing_in(inspector: Inspector, table: Table) -> Iterator[str]:
    columns = {each["name"] for each in inspector.get_columns(table.name)}
    for column in table.columns:
        if column.name not in columns:
            yield f"column {table.name}.{column.name}"
    indexes = {each["name"] for each in inspector.get_indexes(table.name)}
    for index in table.indexes:
        if index.name not in indexes:
            yield f"index {index.name} of {table.name}"
