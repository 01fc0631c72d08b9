"""The statements that find a page of images. Their texts are made once for all that they depend on.

Where more than a page is sorted, it is sorted as ids, and rows are read for those that are on the page.
"""

from collections.abc import Sequence
from enum import Enum, auto
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import BindParameter, ColumnElement, Dialect, Select, String, bindparam, literal_column, select

from upstream.registry.base import ImageQuery, Order
from upstream.registry.sql.filters import alone, as_sets, column, conditions, hanging
from upstream.registry.sql.indexes import unwalked
from upstream.registry.sql.loading import PREPARED_MAX, select_images
from upstream.registry.sql.narrowing import is_among
from upstream.registry.sql.paging import after, order_by, with_tie_break
from upstream.registry.sql.reading import Prepared
from upstream.registry.sql.tables import images
from upstream.types import Context

PAGES_MAX = 256  # whose text is kept: who lists images mostly asks for the same again

BEGIN, END, FEW = "begin", "end", "few"  # parameters: between which values a walk goes, and which images are few
_MARKED = "marked_{}"


class Kind(Enum):
    WALK = auto()
    FEW = auto()  # those that a parameter names
    FIRST = auto()  # the first of an order, of which is asked what hangs on them
    ALL = auto()


class Way(NamedTuple):
    """How images are found. `given` names the parameters, `filled` fields in which no row has NULL.

    `nulls` are the fields of the order that are NULL in the marker; None for no marker. `first_max` is FIRST_MAX.
    """

    kind: Kind
    filled: tuple[str, ...]
    nulls: frozenset[str] | None
    given: tuple[str, ...] = ()
    first_max: int = 0


@lru_cache(PREPARED_MAX)
def bound(dialect: Dialect, first: tuple[str, Order], images_max: int, *, is_begun: bool) -> Prepared:
    """What the field has in the image that is so far down the order, if there are as many."""
    name, order = first
    key, is_ascending = column(name), order is Order.ASCENDING
    statement = select(key).order_by(key.asc() if is_ascending else key.desc())
    if is_begun:
        begin = _parameter(BEGIN, name)
        statement = statement.where(key >= begin if is_ascending else key <= begin)
    statement = statement.limit(literal_column("1")).offset(literal_column(str(images_max)))
    return Prepared(statement, dialect, (BEGIN,) if is_begun else ())


@lru_cache(PAGES_MAX)
def found_by(dialect: Dialect, project_id: str | None, query: ImageQuery, way: Way, *, is_admin: bool) -> Prepared:
    """All that the text depends on is a key."""
    context = Context(project_id=project_id, is_admin=is_admin)
    if way.kind is Kind.WALK:
        statement = _walked(dialect, context, query, way)
    else:
        statement = _sorted(dialect, context, query, way)
    names = dict.fromkeys(name for name, _ in with_tie_break(query.sort))
    past = [] if way.nulls is None else [_MARKED.format(name) for name in names if name not in way.nulls]
    return Prepared(statement, dialect, (*way.given, *past))


def _walked(dialect: Dialect, context: Context, query: ImageQuery, way: Way) -> Select[*tuple[Any, ...]]:
    sort = with_tie_break(query.sort)
    name, order = sort[0]
    key, is_ascending = column(name), order is Order.ASCENDING
    bounds = {
        BEGIN: key > _parameter(BEGIN, name) if is_ascending else key < _parameter(BEGIN, name),
        END: key <= _parameter(END, name) if is_ascending else key >= _parameter(END, name),
    }
    past = _past(sort, way) if BEGIN not in way.given else ()
    found = select_images().where(*(bounds[each] for each in way.given), *past, *conditions(context, query))
    return _limited(found.order_by(*order_by(sort, dialect.name, filled=way.filled)), query.limit)


def _sorted(dialect: Dialect, context: Context, query: ImageQuery, way: Way) -> Select[*tuple[Any, ...]]:
    """Ids, sorted by what they are with; and rows for those that are left."""
    sort = with_tie_break(query.sort)
    names = dict.fromkeys(name for name, _ in sort if name != "id")
    keys = [images.c.id, *(column(name).label(f"key_{name}") for name in names)]
    order = order_by(sort, dialect.name, lambda name: unwalked(column(name)), way.filled)
    found = select(*keys).where(*_past(sort, way)).order_by(*order)
    if way.kind is Kind.FEW:
        found = found.where(is_among(images.c.id, bindparam(FEW, "", String)), *conditions(context, query))
    elif way.kind is Kind.ALL:
        found = found.where(*as_sets(context, query))
    else:
        found = _of_first(dialect, found.where(*alone(context, query)), query, way)
    page = _limited(found, query.limit).subquery("page")
    rows = select_images().join(page, page.c.id == images.c.id)
    return _limited(rows.order_by(*order), query.limit)


def _of_first(
    dialect: Dialect, found: Select[*tuple[Any, ...]], query: ImageQuery, way: Way
) -> Select[*tuple[Any, ...]]:
    """Those of the first images that have hanging on them what is asked for."""
    first = _limited(found, way.first_max).subquery("first")
    named = {"id": first.c.id} | {name: first.c[f"key_{name}"] for name, _ in query.sort if name != "id"}
    order = order_by(with_tie_break(query.sort), dialect.name, named.__getitem__, way.filled)
    return select(*first.c).where(*hanging(query, first.c.id)).order_by(*order)


def _limited(statement: Select[*tuple[Any, ...]], limit: int | None) -> Select[*tuple[Any, ...]]:
    """Of a parameter PostgreSQL would think, in a plan that it keeps, that it is a tenth of all rows."""
    return statement if limit is None else statement.limit(literal_column(str(limit)))


def _parameter(name: str, field: str) -> BindParameter[Any]:
    return bindparam(name, None, column(field).type)


def _past(sort: Sequence[tuple[str, Order]], way: Way) -> tuple[ColumnElement[bool], ...]:
    if way.nulls is None:
        return ()
    marker = {name: None if name in way.nulls else _parameter(_MARKED.format(name), name) for name, _ in sort}
    return (after(sort, marker, filled=way.filled),)
