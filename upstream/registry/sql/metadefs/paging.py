"""Order and pages of namespaces and tags."""

from typing import Any

from sqlalchemy import Boolean, ColumnElement, Integer, Select, Table, cast

from upstream.errors import Invalid
from upstream.registry.base import Order
from upstream.registry.sql import paging
from upstream.registry.sql.metadefs.rows import AnyRow


class Page:
    """One way to sort a table: by a column that the client names, then by age.

    Raises Invalid if the table has no such column. Source: glance/db/sqlalchemy/metadef_api, all `get_all`.
    """

    def __init__(self, table: Table, sort_key: str, dialect: str, *, descending: bool) -> None:
        if sort_key not in table.c:
            raise Invalid(f"Invalid sort key: {sort_key}. It must be one of {', '.join(table.c.keys())}.")
        names = ("created_at", "id")
        keys = names if sort_key in names else (sort_key, *names)
        self._table, self._dialect = table, dialect
        self._sort = [(key, Order.DESCENDING if descending else Order.ASCENDING) for key in keys]

    def ordered(self, statement: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
        return statement.order_by(*paging.order_by(self._sort, self._dialect, self._column))

    def after(self, statement: Select[*tuple[Any, ...]], marker: AnyRow) -> Select[*tuple[Any, ...]]:
        """Only what comes after the row `marker` of the table."""
        values = {key: _plain(getattr(marker, key)) for key, _ in self._sort}
        return statement.where(paging.after(self._sort, values, self._column))

    def _column(self, name: str) -> ColumnElement[Any]:
        column = self._table.c[name]
        return cast(column, Integer) if isinstance(column.type, Boolean) else column


def _plain(value: Any) -> Any:
    """Truth values are compared as numbers: not every database has an order of them."""
    return int(value) if isinstance(value, bool) else value
