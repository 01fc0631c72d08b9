"""Which images a list can only be of, asked where a walk in their order would find too few of them.

The conditions are asked for the images that fit them in whatever order, and the database gives up as soon as there are
more than a few: what many images have is found early on. Statistics have no say in it, which SQLite has none of, and
which the others have of whole columns only.

A few ids travel as one JSON text, from the database and back to it: in one value, by a statement whose text is made
once.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from sqlalchemy import Boolean, ColumnElement, Dialect, Select, String, Text, func, literal_column, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction

from upstream.registry.base import Filter, ImageQuery, Operator
from upstream.registry.sql.filters import hangs, has_conditions, of_image, property_says, tag_says
from upstream.registry.sql.reading import Prepared, Script
from upstream.registry.sql.tables import image_properties, image_tags, images
from upstream.registry.sql.visibility import may_be_listed
from upstream.types import Context

FEW_MAX = 4096  # to look up as many takes half as long as to read all rows of 100,000 images
BEGINNING = 255  # letters of a value that the optional index has, where it cannot have all
PREPARED_MAX = 256
_ASKED_MAX = 4  # of a query's tags and properties: whoever names many must not read the tables as often


def few(dialect: Dialect, context: Context, query: ImageQuery) -> Script[str | None]:
    """A JSON text of the ids of all images that can fit, and perhaps of more. None if each condition leaves many.

    Holds at the moment that it is asked, and no longer.
    """
    if not _reads_json(dialect):
        return None
    asked = replace(query, sort=(), marker=None, limit=None)
    for question in _questions(dialect, context.project_id, asked, FEW_MAX, is_admin=context.is_admin):
        rows = yield question.ask()
        if rows:
            found: str | None = rows[0][0]
            return found or "[]"
    return None


def _reads_json(dialect: Dialect) -> bool:
    """Older servers have no JSON_TABLE; which one it is, is known when somebody is connected."""
    if dialect.name != "mysql":
        return True
    version = getattr(dialect, "server_version_info", None) or ()
    return version >= ((10, 6) if getattr(dialect, "is_mariadb", False) else (8,))


def is_among(column: ColumnElement[Any], ids: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether the JSON text `ids` has it."""
    return _Among(column, ids)


@lru_cache(PREPARED_MAX)
def _questions(
    dialect: Dialect, project_id: str | None, query: ImageQuery, few_max: int, *, is_admin: bool
) -> Sequence[Prepared]:
    """The cheap ones first. Where nothing hangs on images, the page reads all rows as fast as a question would.

    Whether what hangs there was deleted is left to the page: for PostgreSQL it is the dearest column to reach.
    """
    asked: list[Select[*tuple[Any, ...]]] = []
    listed = may_be_listed(Context(project_id=project_id, is_admin=is_admin), query)
    if listed is not None:
        asked.append(select(listed.subquery("listed")))
    if hangs(query):
        hanging = (
            *(select(image_tags.c.image_id).where(*tag_says(tag)) for tag in dict.fromkeys(query.tags)),
            *(_with_property(dialect, each) for each in query.filters if each.is_property),
        )
        rows = [select(images.c.id).where(*of_image(query))] if has_conditions(query) else []
        asked += (*rows, *hanging[:_ASKED_MAX])
    return [Prepared(_if_few(ids, few_max), dialect) for ids in asked]


def _with_property(dialect: Dialect, condition: Filter) -> Select[*tuple[Any, ...]]:
    """PostgreSQL is asked in the words of the optional index, and of a short value in no others: it would take two
    conditions that say the same for two that each leave few.
    """
    asked, conditions = condition.value, property_says(condition)
    if dialect.name == "postgresql" and condition.operator is Operator.EQ and isinstance(asked, str):
        beginning = func.left(image_properties.c.value, literal_column(str(BEGINNING)), type_=Text())
        of_beginning = property_says(replace(condition, value=asked[:BEGINNING]), beginning)
        conditions = of_beginning if len(asked) < BEGINNING else (*of_beginning, *conditions)
    return select(image_properties.c.image_id).where(*conditions)


def _if_few(ids: Select[*tuple[Any, ...]], few_max: int) -> Select[*tuple[Any, ...]]:
    """One row with all of them, or none if they are too many."""
    some = ids.limit(literal_column(str(few_max + 1))).subquery("some")
    return select(_Gathered(*some.c)).having(func.count() <= literal_column(str(few_max)))


class _Gathered(GenericFunction[str]):
    """All texts of a column in one JSON text."""

    name = "gathered"
    type = String()
    inherit_cache = True


class _Among(GenericFunction[bool]):
    name = "among"
    type = Boolean()
    inherit_cache = True
    _is_implicitly_boolean = True


@compiles(_Gathered)
def _by_sqlite(element: _Gathered, compiler: SQLCompiler, **options: Any) -> str:
    return f"json_group_array({compiler.process(element.clauses, **options)})"


@compiles(_Gathered, "postgresql")
def _by_postgresql(element: _Gathered, compiler: SQLCompiler, **options: Any) -> str:
    return f"CAST(json_agg({compiler.process(element.clauses, **options)}) AS TEXT)"


@compiles(_Gathered, "mysql")
@compiles(_Gathered, "mariadb")
def _by_mariadb(element: _Gathered, compiler: SQLCompiler, **options: Any) -> str:
    return f"JSON_ARRAYAGG({compiler.process(element.clauses, **options)})"


@compiles(_Among)
def _in_sqlite(element: _Among, compiler: SQLCompiler, **options: Any) -> str:
    column, ids = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({ids}))"


@compiles(_Among, "postgresql")
def _in_postgresql(element: _Among, compiler: SQLCompiler, **options: Any) -> str:
    """An array that is made once: PostgreSQL looks each id up then, whatever it thinks of the order."""
    column, ids = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{column} = ANY(ARRAY(SELECT json_array_elements_text(CAST({ids} AS JSON))))"


@compiles(_Among, "mysql")
@compiles(_Among, "mariadb")
def _in_mariadb(element: _Among, compiler: SQLCompiler, **options: Any) -> str:
    """The ids are of the letters of Glance's columns: others could not be looked up by an index."""
    column, ids = (compiler.process(clause, **options) for clause in element.clauses)
    given = f"JSON_TABLE({ids}, '$[*]' COLUMNS (id VARCHAR(36) CHARACTER SET utf8 PATH '$'))"
    return f"{column} IN (SELECT given.id FROM {given} AS given)"
