"""Databases that a Glance and a Glint take turns with, and what stands in them."""

from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Inspector, inspect, select

from tests.contract.registry.world import Servers
from upstream.registry import RegistryConfig
from upstream.registry.sql import Database
from upstream.registry.sql.tables import metadata

_numbers = count()

T = TypeVar("T")
Place = Callable[[], str]  # makes an empty database of one kind, and gives its URL

PLACES: Mapping[str, Callable[[Path, Servers], Place]] = {
    "sqlite": lambda folder, _: lambda: f"sqlite:///{folder}/{next(_numbers)}.db",
    "postgresql": lambda _, servers: lambda: servers.postgresql.create_database(f"place{next(_numbers)}"),
    "mariadb": lambda _, servers: lambda: servers.mariadb.create_database(f"place{next(_numbers)}"),
}


async def ask(url: str, look: Callable[[Connection], T]) -> T:
    async with Database.open(RegistryConfig(url=url)) as database, database.read() as connection:
        return await connection.run_sync(look)


async def tell(url: str, *statements: str) -> None:
    async with Database.open(RegistryConfig(url=url)) as database, database.write() as connection:
        for statement in statements:
            await connection.exec_driver_sql(statement)


def schema(connection: Connection) -> dict[str, Any]:
    """Every fact of every table, and the stamps."""
    inspector = inspect(connection)
    tables = {name: _facts(inspector, name) for name in inspector.get_table_names()}
    enums: Any = getattr(inspector, "get_enums", list)()
    return tables | {"enums": enums, "stamps": stamps(connection)}


def _facts(inspector: Inspector, table: str) -> dict[str, Any]:
    columns = cast("list[dict[str, Any]]", inspector.get_columns(table))
    options = inspector.get_table_options(table)
    return {
        # In the order in which they stand.
        "columns": [{name: repr(value) for name, value in each.items()} for each in columns],
        "primary key": inspector.get_pk_constraint(table),
        "indexes": _by_name(inspector.get_indexes(table)),
        "unique": _by_name(inspector.get_unique_constraints(table)),
        "foreign keys": _by_name(inspector.get_foreign_keys(table)),
        "checks": _by_name(inspector.get_check_constraints(table)),
        "options": {name: value for name, value in options.items() if "auto_increment" not in name},
    }


def _by_name(constraints: Any) -> list[str]:
    return sorted(repr(sorted(each.items())) for each in constraints)


def stamps(connection: Connection) -> list[str]:
    return sorted(connection.scalars(select(metadata.tables["alembic_version"].c.version_num)))


def rows(connection: Connection) -> dict[str, list[tuple[Any, ...]]]:
    """All there are, by table."""
    return {
        table.name: [tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key.columns))]
        for table in metadata.sorted_tables
    }
