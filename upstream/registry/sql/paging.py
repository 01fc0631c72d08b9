"""Order and pages. Pages laid end to end are the list: each row once, NULLs and ties included."""

from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, and_, false, or_

from upstream.registry.base import Order
from upstream.registry.sql.filters import column

Sort = Sequence[tuple[str, Order]]
Columns = Callable[[str], ColumnElement[Any]]
"""From a field's name to its column, by default of images; raises Invalid for a field that the rows do not have."""


def with_tie_break(sort: Sort) -> Sort:
    """The same order, made total: `id` is unique."""
    if any(name == "id" for name, _ in sort):
        return sort
    return (*sort, ("id", sort[-1][1] if sort else Order.DESCENDING))


def order_by(
    sort: Sort, dialect: str, column: Columns = column, filled: Container[str] = ()
) -> tuple[ColumnElement[Any], ...]:
    """NULLs are lower than any value, as SQLite and MariaDB have it; PostgreSQL must be told.

    Of `filled` fields it is known that no row has NULL there, although the column would take it.
    Raises what `column` raises; by default it knows the fields of images.
    """
    return tuple(_ordered(column(name), order, dialect, is_filled=name in filled) for name, order in sort)


def _ordered(key: ColumnElement[Any], order: Order, dialect: str, *, is_filled: bool) -> ColumnElement[Any]:
    is_ascending = order is Order.ASCENDING
    ordered = key.asc() if is_ascending else key.desc()
    # Where there are none it must not be told: its indexes are of another order of NULLs.
    if dialect != "postgresql" or is_filled or not _is_nullable(key):
        return ordered
    return ordered.nulls_first() if is_ascending else ordered.nulls_last()


def after(
    sort: Sort, marker: RowMapping | Mapping[str, Any], column: Columns = column, filled: Container[str] = ()
) -> ColumnElement[bool]:
    """The rows that come after `marker`, which has a value for every key of `sort`; `filled` as for `order_by`.

    Glance compares NULL as '' or 0 here and yet sorts it first, and so repeats or loses rows between the two.
    """
    terms: list[ColumnElement[bool]] = []
    equal: list[ColumnElement[bool]] = []
    for name, order in sort:
        key, value = column(name), marker[name]
        terms.append(and_(*equal, _is_past(key, value, order)))
        equal.append(key.is_(None) if value is None else key == value)
    return and_(*_bound(sort, marker, column, filled), or_(*terms))


def _bound(
    sort: Sort, marker: RowMapping | Mapping[str, Any], column: Columns, filled: Container[str]
) -> tuple[ColumnElement[bool], ...]:
    """What follows from the terms for the first key: by it, and not by the terms, an index finds where to begin."""
    name, order = next(iter(sort))
    key, value = column(name), marker[name]
    if value is None or (order is Order.DESCENDING and name not in filled and _is_nullable(key)):
        return ()
    return (key >= value if order is Order.ASCENDING else key <= value,)


def _is_nullable(key: ColumnElement[Any]) -> bool:
    return bool(getattr(key, "nullable", True))


def _is_past(key: ColumnElement[Any], value: Any, order: Order) -> ColumnElement[bool]:
    if order is Order.ASCENDING:
        return key.is_not(None) if value is None else key > value
    if value is None:
        return false()
    return or_(key < value, key.is_(None)) if _is_nullable(key) else key < value
