"""The conditions of a list query. Values travel as parameters, never as text of the statement."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Enum, String, false, select

from upstream.errors import Invalid
from upstream.registry.base import Filter, ImageQuery, Operator
from upstream.registry.sql.exact import is_one_of, is_text
from upstream.registry.sql.indexes import there_is, unindexed
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


def _as_is(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return column


def _equals(column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    return is_text(column, value) if _is_text(column) else column == value


def _is_text(column: ColumnElement[Any]) -> bool:
    return isinstance(column.type, String) and not isinstance(column.type, Enum)


def conditions(context: Context, query: ImageQuery) -> tuple[ColumnElement[bool], ...]:
    """What a row of `images` must meet to be in the list; all of them.

    What a client asked for comes first, and what hangs on images last: SQLite goes by the order in which it reads them.
    No index is taken on a column, but for that of the order, which a bound may shorten.
    Raises Invalid for a field that images do not have.
    """
    walked = query.sort[0][0] if query.sort else "id"
    return (*of_image(query, walked=walked), is_listed(context, query), *hanging(query))


def as_sets(context: Context, query: ImageQuery) -> tuple[ColumnElement[bool], ...]:
    """The same for who looks at all rows: what hangs on images is read as a whole, and not for one after the other."""
    listed = is_listed(context, query, as_set=True)
    return (*of_image(query, walked="" if hangs(query) else None), listed, *_in_sets(query))


def alone(context: Context, query: ImageQuery) -> tuple[ColumnElement[bool], ...]:
    """All but what hangs on images."""
    return (*of_image(query, walked=""), is_listed(context, query, as_set=True))


def hanging(query: ImageQuery, image_id: ColumnElement[str] = images.c.id) -> Iterator[ColumnElement[bool]]:
    """What hangs on the image with this id, looked up for each."""
    for tag in dict.fromkeys(query.tags):
        yield there_is(image_tags.c.image_id == image_id, *tag_is(tag))
    for each in _of_properties(query):
        yield there_is(image_properties.c.image_id == image_id, *property_is(each))


def _in_sets(query: ImageQuery) -> Iterator[ColumnElement[bool]]:
    for tag in dict.fromkeys(query.tags):
        yield images.c.id.in_(select(image_tags.c.image_id).where(*tag_is(tag)))
    for each in _of_properties(query):
        yield images.c.id.in_(select(image_properties.c.image_id).where(*property_is(each)))


def _of_properties(query: ImageQuery) -> Iterator[Filter]:
    return (each for each in query.filters if each.is_property)


def hangs(query: ImageQuery) -> bool:
    """Whether the list asks for anything that hangs on images."""
    return bool(query.tags) or any(_of_properties(query))


def of_image(query: ImageQuery, *, walked: str | None = None) -> Iterator[ColumnElement[bool]]:
    """Those that are about the row alone, whoever asks. With `walked`, of all fields only this one may use an index."""
    for each in query.filters:
        if not each.is_property:
            yield _compare(column(each.field), each, _as_is if walked in {None, each.field} else unindexed)
    if query.visibility is not None:
        is_all = walked is None and all(each.is_property for each in query.filters)
        yield (_as_is if is_all else unindexed)(images.c.visibility) == query.visibility.value
    yield unindexed(images.c.os_hidden) == query.os_hidden
    yield unindexed(images.c.deleted) == false()
    yield images.c.status != Status.KILLED.value  # Glance never lists these


def has_conditions(query: ImageQuery) -> bool:
    """Whether the list asks anything of the rows themselves, beyond what every list does."""
    return query.os_hidden or query.visibility is not None or not all(each.is_property for each in query.filters)


def column(name: str) -> ColumnElement[Any]:
    """The column of images with this name. Raises Invalid."""
    try:
        return COLUMNS[name]
    except KeyError:
        raise Invalid(f"Images have no field {name!r}; they have {', '.join(sorted(COLUMNS))}") from None


def property_is(condition: Filter) -> tuple[ColumnElement[bool], ...]:
    """What a row of `image_properties` must meet."""
    return (*property_says(condition), unindexed(image_properties.c.deleted) == false())


def property_says(
    condition: Filter, value: ColumnElement[Any] = image_properties.c.value
) -> tuple[ColumnElement[bool], ...]:
    """The same, were none of them deleted; `value` is how its value is written.

    The value comes first: fewer rows have it than the name, and who reads all rows looks at both in this order.
    """
    if _is_unstorable(condition.field):
        return (false(),)
    return _compare(value, condition), is_text(image_properties.c.name, condition.field)


def tag_is(tag: str) -> tuple[ColumnElement[bool], ...]:
    """What a row of `image_tags` must meet."""
    return (*tag_says(tag), unindexed(image_tags.c.deleted) == false())


def tag_says(tag: str) -> tuple[ColumnElement[bool], ...]:
    """The same, were none of them deleted."""
    return (false() if _is_unstorable(tag) else is_text(image_tags.c.value, tag),)


def _compare(
    column: ColumnElement[Any], condition: Filter, written: Callable[[ColumnElement[Any]], ColumnElement[Any]] = _as_is
) -> ColumnElement[bool]:
    """`written` is how the statement has the column."""
    if condition.operator is Operator.IN:
        asked = [plain(column, value) for value in condition.value if not _is_unstorable(value)]
        return _COMPARE[Operator.IN](written(column), asked)
    if _is_unstorable(condition.value):
        return false()
    return _COMPARE[condition.operator](written(column), plain(column, condition.value))


def _is_unstorable(value: object) -> bool:
    """PostgreSQL refuses a NUL in any text, so no row has one: asking for it finds nothing, and is no error."""
    return isinstance(value, str) and "\0" in value
