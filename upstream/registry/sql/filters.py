"""The conditions of a list query. Values travel as parameters, never as text of the statement."""

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Enum, String, exists, false

from upstream.errors import Invalid
from upstream.registry.base import Filter, ImageQuery, Operator
from upstream.registry.sql.exact import is_one_of, is_text
from upstream.registry.sql.indexes import unindexed
from upstream.registry.sql.rows import FIELDS, plain
from upstream.registry.sql.tables import image_properties, image_tags, images
from upstream.registry.sql.visibility import is_listed
from upstream.types import Context, Status

COLUMNS: Mapping[str, ColumnElement[Any]] = {column.name: column for column in (images.c.id, *FIELDS)}

_COMPARE: Mapping[Operator, Callable[[ColumnElement[Any], Any], ColumnElement[bool]]] = {
    Operator.EQ: lambda column, value: column.is_(None) if value is None else _equals(column, value),
    Operator.NEQ: lambda column, value: column.is_not(None) if value is None else ~_equals(column, value),
    Operator.LT: lambda column, value: column < value,
    Operator.LTE: lambda column, value: column <= value,
    Operator.GT: lambda column, value: column > value,
    Operator.GTE: lambda column, value: column >= value,
    Operator.IN: lambda column, value: is_one_of(column, value) if _is_text(column) else column.in_(value),
}


def _equals(column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    return is_text(column, value) if _is_text(column) else column == value


def _is_text(column: ColumnElement[Any]) -> bool:
    return isinstance(column.type, String) and not isinstance(column.type, Enum)


def conditions(context: Context, query: ImageQuery) -> tuple[ColumnElement[bool], ...]:
    """What a row of `images` must meet to be in the list; all of them.

    Raises Invalid for a field that images do not have.
    """
    return (
        unindexed(images.c.deleted) == false(),
        images.c.status != Status.KILLED.value,  # Glance never lists these
        unindexed(images.c.os_hidden) == query.os_hidden,
        is_listed(context, query),
        *(_has_property(each) if each.is_property else _has_value(each) for each in query.filters),
        *(_has_tag(tag) for tag in dict.fromkeys(query.tags)),
    )


def column(name: str) -> ColumnElement[Any]:
    """The column of images with this name. Raises Invalid."""
    try:
        return COLUMNS[name]
    except KeyError:
        raise Invalid(f"Images have no field {name!r}; they have {', '.join(sorted(COLUMNS))}") from None


def _has_value(condition: Filter) -> ColumnElement[bool]:
    return _compare(column(condition.field), condition)


def _has_property(condition: Filter) -> ColumnElement[bool]:
    if _is_unstorable(condition.field):
        return false()
    return exists().where(
        image_properties.c.image_id == images.c.id,
        unindexed(image_properties.c.deleted) == false(),
        is_text(image_properties.c.name, condition.field),
        _compare(image_properties.c.value, condition),
    )


def _has_tag(tag: str) -> ColumnElement[bool]:
    if _is_unstorable(tag):
        return false()
    return exists().where(
        image_tags.c.image_id == images.c.id,
        unindexed(image_tags.c.deleted) == false(),
        is_text(image_tags.c.value, tag),
    )


def _compare(column: ColumnElement[Any], condition: Filter) -> ColumnElement[bool]:
    if condition.operator is Operator.IN:
        asked = [plain(column, value) for value in condition.value if not _is_unstorable(value)]
        return _COMPARE[Operator.IN](column, asked)
    if _is_unstorable(condition.value):
        return false()
    return _COMPARE[condition.operator](column, plain(column, condition.value))


def _is_unstorable(value: object) -> bool:
    """PostgreSQL refuses a NUL in any text, so no row has one: asking for it finds nothing, and is no error."""
    return isinstance(value, str) and "\0" in value
