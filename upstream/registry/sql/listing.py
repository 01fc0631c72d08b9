"""A page of images, as a script: ways to find it are tried in turn, until one of them does.

1. A walk in the order of an index is cheap as long as the page fills soon. It is bounded, and goes on only where it
   found so many that the page can be expected to fill.
2. Where some condition leaves few images at all, these are looked up (`narrowing`).
3. An order that has no index is made of the rows alone. What hangs on images is then asked of the first of them.
4. Else all rows are read once, with what hangs on them as sets. It takes as long for every page.

Beside them there is at most a statement for the marker, and one for what hangs on the images of the page.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Dialect, select

from upstream.errors import Invalid, NotFound
from upstream.registry.base import ImageQuery, Order
from upstream.registry.sql.access import check_id, projects, visible
from upstream.registry.sql.filters import column, hangs, has_conditions
from upstream.registry.sql.loading import PREPARED_MAX, whole, with_children
from upstream.registry.sql.narrowing import few
from upstream.registry.sql.page_statements import BEGIN, END, FEW, Kind, Way, bound, found_by
from upstream.registry.sql.paging import with_tie_break
from upstream.registry.sql.reading import Prepared, Rows, Script
from upstream.registry.sql.rows import Record, to_naive
from upstream.registry.sql.tables import images
from upstream.types import Context

LEGS = (512, 8192)  # images of a walk; more of them take longer than any other way
FIRST_MAX = 1024  # images at the head of an order without an index, of which is asked what hangs on them

_WALKED = frozenset({"created_at", "updated_at", "id"})  # what Glance's schema has an index of that lists go by
_NULLABLE = "updated_at"  # only rows that other programs wrote have none


class _Asked(NamedTuple):
    """What all statements of a page have in common. `past` are the marker's values, as the driver takes them."""

    dialect: Dialect
    context: Context
    query: ImageQuery
    filled: tuple[str, ...]
    nulls: frozenset[str] | None
    past: tuple[Any, ...]

    def find(self, kind: Kind, *values: Any, given: tuple[str, ...] = (), limit: int | None = None) -> Script[Rows]:
        way = Way(kind, self.filled, self.nulls, given, FIRST_MAX if kind is Kind.FIRST else 0)
        query = replace(self.query, marker=None, limit=self.query.limit if limit is None else limit)
        context = self.context
        prepared = found_by(self.dialect, context.project_id, query, way, is_admin=context.is_admin)
        return (yield prepared.ask(*values, *self.past))


def page(dialect: Dialect, context: Context, query: ImageQuery) -> Script[dict[str, Record]]:
    """Raises Invalid for a marker that is no image, or none that `context` may see, and for fields that are none."""
    sort = with_tie_break(query.sort)
    columns = {name: column(name) for name, _ in sort}
    nulls, past = None, tuple[Any, ...]()
    if query.marker is not None:
        row = (yield from _marker(dialect, context, query.marker)).row
        values = {name: _driven(dialect, key, getattr(row, name)) for name, key in columns.items()}
        nulls = frozenset(name for name, value in values.items() if value is None)
        past = tuple(value for value in values.values() if value is not None)
    filled = (yield from _filled(dialect)) if sort[0][0] == _NULLABLE else ()
    rows = yield from _found(_Asked(dialect, context, query, filled, nulls, past), sort[0])
    return (yield from with_children(dialect, rows, projects(context)))


def _found(asked: _Asked, first: tuple[str, Order]) -> Script[Rows]:
    query, (name, _) = asked.query, first
    is_narrow = not asked.context.is_admin or has_conditions(query) or hangs(query)
    is_walked = name in _WALKED and (name != _NULLABLE or bool(asked.filled))
    rows: Rows | None = None
    if not is_narrow and (is_walked or query.limit is None):
        return (yield from asked.find(Kind.WALK))
    if is_walked and query.limit is not None:
        rows = yield from _walk(asked, query.limit, first)
    if is_narrow and rows is None:
        some = yield from few(asked.dialect, asked.context, query)
        if some is not None:
            rows = yield from asked._replace(query=some.query).find(Kind.FEW, some.ids, given=(FEW,))
    if rows is None and hangs(query) and not is_walked and query.limit is not None:
        first_rows = yield from asked.find(Kind.FIRST)
        rows = first_rows if len(first_rows) == query.limit else None
    return (yield from asked.find(Kind.ALL)) if rows is None else rows


def _walk(asked: _Asked, limit: int, first: tuple[str, Order]) -> Script[Rows | None]:
    """The page, or None if it does not fill soon."""
    begin = asked.past[:1]
    found: list[Sequence[Any]] = []
    for number, images_max in enumerate(LEGS):
        if number and len(found) * images_max < limit * LEGS[0]:
            break
        bounds = yield bound(asked.dialect, first, images_max, is_begun=bool(begin)).ask(*begin)
        end = tuple(bounds[0]) if bounds else ()
        given = ((BEGIN,) if number else ()) + ((END,) if end else ())
        values = (*(begin if number else ()), *end)
        # Up to a power of two, so that there are few texts: some more than the page may be found.
        missing = min(limit, 1 << (limit - len(found) - 1).bit_length())
        found += yield from asked.find(Kind.WALK, *values, given=given, limit=missing)
        if not end or len(found) >= limit:
            return found[:limit]
        begin = end
    return None


def _driven(dialect: Dialect, key: ColumnElement[Any], value: Any) -> Any:
    """What the marker has in this column, as the driver takes it."""
    if isinstance(value, datetime):
        value = to_naive(value)
    process = key.type.dialect_impl(dialect).bind_processor(dialect)
    return value if process is None else process(value)


def _filled(dialect: Dialect) -> Script[tuple[str, ...]]:
    """The field, if no row has NULL there."""
    rows = yield _without_time(dialect).ask()
    return () if rows else (_NULLABLE,)


@lru_cache(PREPARED_MAX)
def _without_time(dialect: Dialect) -> Prepared:
    return Prepared(select(images.c.id).where(images.c.updated_at.is_(None)).limit(1), dialect)


def _marker(dialect: Dialect, context: Context, image_id: str) -> Script[Record]:
    try:
        check_id(image_id)
        found = yield from whole(dialect, (image_id,), projects(context))
        return visible(context, image_id, found.get(image_id))
    except NotFound as error:
        raise Invalid(f"Invalid marker: image {image_id} could not be found") from error
