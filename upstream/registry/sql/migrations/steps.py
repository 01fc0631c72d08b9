"""What the revisions are made of. Each step may have been done already: MariaDB keeps what an upgrade did that was
killed half way, and the stamp that would tell of it comes last.
"""

from typing import Any

from alembic import op
from sqlalchemy import Column, UniqueConstraint, inspect

from upstream.registry.sql.tables import MYSQL


def add_columns(table: str, *columns: Column[Any]) -> None:
    known = {each["name"] for each in inspect(op.get_bind()).get_columns(table)}
    for column in columns:
        if column.name not in known:
            op.add_column(table, column)


def add_index(name: str, table: str, column: str) -> None:
    if name not in {each["name"] for each in inspect(op.get_bind()).get_indexes(table)}:
        op.create_index(name, table, [column])


def add_table(name: str, *parts: Column[Any] | UniqueConstraint) -> None:
    if not inspect(op.get_bind()).has_table(name):
        op.create_table(name, *parts, **MYSQL)
