"""A page of images, as a script: at most a statement for the marker, one for the page, one for what hangs on it."""

from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Dialect, Select

from upstream.errors import Invalid, NotFound
from upstream.registry.base import ImageQuery
from upstream.registry.sql.access import check_id, projects, visible
from upstream.registry.sql.filters import conditions
from upstream.registry.sql.loading import select_images, whole, with_children
from upstream.registry.sql.paging import after, order_by, with_tie_break
from upstream.registry.sql.reading import Prepared, Script
from upstream.registry.sql.rows import ImageRow, Record, to_naive
from upstream.types import Context

FIRST_PAGES_MAX = 256


def page(dialect: Dialect, context: Context, query: ImageQuery) -> Script[dict[str, Record]]:
    """Raises Invalid for a marker that is no image, or none that `context` may see."""
    if query.marker is None:
        question = _first_page(dialect, context.project_id, query, is_admin=context.is_admin).ask()
    else:
        marker = yield from _marker(dialect, context, query.marker)
        past = after(with_tie_break(query.sort), _as_columns(marker.row))
        question = Prepared(_select(dialect, context, query).where(past), dialect).ask()
    rows = yield question
    return (yield from with_children(dialect, rows, projects(context)))


@lru_cache(FIRST_PAGES_MAX)
def _first_page(dialect: Dialect, project_id: str | None, query: ImageQuery, *, is_admin: bool) -> Prepared:
    """Who lists images mostly asks for the same ones again: the text is made once. All that it depends on is a key."""
    return Prepared(_select(dialect, Context(project_id=project_id, is_admin=is_admin), query), dialect)


def _select(dialect: Dialect, context: Context, query: ImageQuery) -> Select[*tuple[object, ...]]:
    statement = select_images().where(*conditions(context, query))
    return statement.order_by(*order_by(with_tie_break(query.sort), dialect.name)).limit(query.limit)


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
