"""A page of images, as a script: at most a statement for the marker, one for the page and one for what hangs on it, and
with filters a few that ask whether few images fit them.
"""

from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Dialect, Select, String, bindparam, select

from upstream.errors import Invalid, NotFound
from upstream.registry.base import ImageQuery
from upstream.registry.sql.access import check_id, projects, visible
from upstream.registry.sql.filters import column, conditions
from upstream.registry.sql.indexes import unindexed
from upstream.registry.sql.loading import PREPARED_MAX, select_images, whole, with_children
from upstream.registry.sql.narrowing import few, is_among
from upstream.registry.sql.paging import after, order_by, with_tie_break
from upstream.registry.sql.reading import Prepared, Script
from upstream.registry.sql.rows import ImageRow, Record, to_naive
from upstream.registry.sql.tables import images
from upstream.types import Context

FIRST_PAGES_MAX = 256

_FEW = "few"  # the parameter that names images


class _Way(NamedTuple):
    """How a page is found: among `few` images that a parameter names, or in the order of `filled` fields."""

    of_few: bool
    filled: tuple[str, ...]


def page(dialect: Dialect, context: Context, query: ImageQuery) -> Script[dict[str, Record]]:
    """Raises Invalid for a marker that is no image, or none that `context` may see."""
    marker = None if query.marker is None else (yield from _marker(dialect, context, query.marker))
    found = yield from few(dialect, context, query)
    asked, given = (query, []) if found is None else (found.rest, [found.ids])
    way = _Way(of_few=bool(given), filled=() if given else (yield from _filled(dialect, query)))
    if marker is None:
        prepared = _first_page(dialect, context.project_id, asked, way, is_admin=context.is_admin)
    else:
        past = after(with_tie_break(query.sort), _as_columns(marker.row), filled=way.filled)
        prepared = _prepared(dialect, _select(dialect, context, asked, way).where(past), way)
    rows = yield prepared.ask(*given)
    return (yield from with_children(dialect, rows, projects(context)))


@lru_cache(FIRST_PAGES_MAX)
def _first_page(dialect: Dialect, project_id: str | None, query: ImageQuery, way: _Way, *, is_admin: bool) -> Prepared:
    """Who lists images mostly asks for the same ones again: the text is made once. All that it depends on is a key."""
    return _prepared(dialect, _select(dialect, Context(project_id=project_id, is_admin=is_admin), query, way), way)


def _prepared(dialect: Dialect, statement: Select[*tuple[object, ...]], way: _Way) -> Prepared:
    return Prepared(statement, dialect, (_FEW,) if way.of_few else ())


def _select(dialect: Dialect, context: Context, query: ImageQuery, way: _Way) -> Select[*tuple[object, ...]]:
    """Few are looked up and sorted, in place of a walk by an index of the order."""
    order = order_by(with_tie_break(query.sort), dialect.name, _unwalked if way.of_few else column, way.filled)
    statement = select_images().where(*conditions(context, query)).order_by(*order).limit(query.limit)
    return statement.where(is_among(images.c.id, bindparam(_FEW, "", String))) if way.of_few else statement


_UPDATED_AT = "updated_at"


def _filled(dialect: Dialect, query: ImageQuery) -> Script[tuple[str, ...]]:
    """The first field of the order, if PostgreSQL has an index of it that it can only walk where no row has NULL.

    Only rows that other programs wrote have none in `updated_at`.
    """
    if dialect.name != "postgresql" or not query.sort or query.sort[0][0] != _UPDATED_AT:
        return ()
    rows = yield _without_time(dialect).ask()
    return () if rows else (_UPDATED_AT,)


@lru_cache(PREPARED_MAX)
def _without_time(dialect: Dialect) -> Prepared:
    return Prepared(select(images.c.id).where(images.c.updated_at.is_(None)).limit(1), dialect)


def _unwalked(name: str) -> ColumnElement[Any]:
    return unindexed(column(name))


def _as_columns(row: ImageRow) -> dict[str, Any]:
    """The values as they are compared with columns."""
    fields = row._asdict().items()
    return {name: to_naive(value) if isinstance(value, datetime) else value for name, value in fields}


def _marker(dialect: Dialect, context: Context, image_id: str) -> Script[Record]:
    try:
        check_id(image_id)
        found = yield from whole(dialect, (image_id,), projects(context))
        return visible(context, image_id, found.get(image_id))
    except NotFound as error:
        raise Invalid(f"Invalid marker: image {image_id} could not be found") from error
