"""Which images a list can only be of, asked where a walk in their order would find too few of them.

The conditions are asked for the images that fit them in whatever order, and the database gives up as soon as there are
more than a few: what many images have is found early on. Statistics have no say in it, which SQLite has none of, and
which the others have of whole columns only.

A few ids travel as one JSON text, from the database and back to it: in one value, by a statement whose text is made
once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Dialect,
    Select,
    String,
    Text,
    and_,
    case,
    false,
    func,
    literal_column,
    select,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction

from upstream.registry.base import Filter, ImageQuery, Operator
from upstream.registry.sql.filters import hangs, has_conditions, of_image, property_says, tag_says
from upstream.registry.sql.reading import Prepared, Script
from upstream.registry.sql.tables import image_properties, image_tags, images
from upstream.registry.sql.visibility import is_listed, may_be_listed
from upstream.types import Context

FEW_MAX = 8192  # to look up as many takes half as long as to read all rows of 100,000 images, and what hangs on them
SAMPLE, COMMON = 512, 64  # rows in whatever order; of so many that fit a condition, it is not asked early
BEGINNING = 255  # letters of a value that the optional index has, where it cannot have all
PREPARED_MAX = 256
_ASKED_MAX = 4  # of a query's tags and properties: whoever names many must not read the tables as often


class Few(NamedTuple):
    """A JSON text of the ids of all images that can fit, and what is still to be asked of them."""

    ids: str
    query: ImageQuery


def few(dialect: Dialect, context: Context, query: ImageQuery) -> Script[Few | None]:
    """None if each condition leaves many. Holds at the moment that it is asked, and no longer."""
    if not _reads_json(dialect):
        return None
    asked = replace(query, sort=(), marker=None, limit=None)
    questions = _questions(dialect, context.project_id, asked, FEW_MAX, is_admin=context.is_admin)
    for question in (yield from _sorted(questions)):
        rows = yield question.prepared.ask()
        if rows:
            return Few(rows[0][0] or "[]", question.without(query))
    return None


def _sorted(questions: "_Questions") -> Script[Sequence["_Question"]]:
    """Those first that are cheap: but what many rows fit is asked last, as its answer would only be that."""
    if questions.sample is None:
        return [*questions.of_rows, *questions.hanging]
    fitting = (yield questions.sample.ask())[0]
    common = [question for question, count in zip(questions.of_rows, fitting, strict=True) if count >= COMMON]
    return [*(each for each in questions.of_rows if each not in common), *questions.hanging, *common]


def _reads_json(dialect: Dialect) -> bool:
    """Older servers have no JSON_TABLE; which one it is, is known when somebody is connected."""
    if dialect.name != "mysql":
        return True
    version = getattr(dialect, "server_version_info", None) or ()
    return version >= ((10, 6) if getattr(dialect, "is_mariadb", False) else (8,))


def is_among(column: ColumnElement[Any], ids: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether the JSON text `ids` has it."""
    return _Among(column, ids)


class _Question(NamedTuple):
    """`tag` or `condition` is what it answers as a whole; the others leave all conditions to the page."""

    prepared: Prepared
    tag: str | None = None
    condition: Filter | None = None

    def without(self, query: ImageQuery) -> ImageQuery:
        return replace(
            query,
            tags=tuple(tag for tag in query.tags if tag != self.tag),
            filters=tuple(each for each in query.filters if each != self.condition),
        )


class _Questions(NamedTuple):
    """`sample` counts, among some rows, those that fit each question of the rows; None where that helps nobody."""

    of_rows: Sequence[_Question]
    hanging: Sequence[_Question]
    sample: Prepared | None


@lru_cache(PREPARED_MAX)
def _questions(
    dialect: Dialect, project_id: str | None, query: ImageQuery, few_max: int, *, is_admin: bool
) -> _Questions:
    """Where nothing hangs on images, the page reads all rows as fast as a question would."""
    context = Context(project_id=project_id, is_admin=is_admin)
    of_rows: list[Select[*tuple[Any, ...]]] = []
    fits: list[ColumnElement[bool]] = []
    listed = may_be_listed(context, query)
    if listed is not None:
        of_rows.append(select(listed.subquery("listed")))
        fits.append(is_listed(context, query))
    if hangs(query) and has_conditions(query):
        of_rows.append(select(images.c.id).where(*of_image(query)))
        fits.append(and_(*of_image(query)))
    hanging = [*_of_tags(dialect, query, few_max), *_of_properties(dialect, query, few_max)][:_ASKED_MAX]
    sample = Prepared(_sample(fits), dialect) if of_rows and hanging else None
    return _Questions([_Question(Prepared(_if_few(ids, few_max), dialect)) for ids in of_rows], hanging, sample)


def _of_tags(dialect: Dialect, query: ImageQuery, few_max: int) -> Iterator[_Question]:
    for tag in dict.fromkeys(query.tags):
        rows = select(image_tags.c.image_id, image_tags.c.deleted).where(*tag_says(tag))
        yield _Question(Prepared(_if_few(rows, few_max), dialect), tag=tag)


def _of_properties(dialect: Dialect, query: ImageQuery, few_max: int) -> Iterator[_Question]:
    for each in dict.fromkeys(query.filters):
        if each.is_property:
            rows = select(image_properties.c.image_id, image_properties.c.deleted).where(*_has_property(dialect, each))
            yield _Question(Prepared(_if_few(rows, few_max), dialect), condition=each)


def _sample(fits: Sequence[ColumnElement[bool]]) -> Select[*tuple[Any, ...]]:
    """How many of some images fit each."""
    marks = [case((each, literal_column("1"))).label(f"fits_{number}") for number, each in enumerate(fits)]
    some = select(*marks).limit(literal_column(str(SAMPLE))).subquery("some")
    return select(*(func.count(mark) for mark in some.c))


def _has_property(dialect: Dialect, condition: Filter) -> tuple[ColumnElement[bool], ...]:
    """PostgreSQL is asked in the words of the optional index, too: whether the value begins so is looked at last, and
    of a row that has the value, as it costs more than all else.
    """
    asked, conditions = condition.value, property_says(condition)
    if dialect.name == "postgresql" and condition.operator is Operator.EQ and isinstance(asked, str):
        beginning = func.left(image_properties.c.value, literal_column(str(BEGINNING)), type_=Text())
        conditions = (*conditions, *property_says(replace(condition, value=asked[:BEGINNING]), beginning)[:1])
    return conditions


def _if_few(rows: Select[*tuple[Any, ...]], few_max: int) -> Select[*tuple[Any, ...]]:
    """One row with the ids of all rows, or none if they are too many. What was deleted counts, and has no id.

    Whether it was is looked at in those that are left: for PostgreSQL it is the dearest column to reach.
    """
    some = rows.limit(literal_column(str(few_max + 1))).subquery("some")
    image_id, *is_deleted = some.c
    ids = case((is_deleted[0] == false(), image_id)) if is_deleted else image_id
    return select(_Gathered(ids)).having(func.count() <= literal_column(str(few_max)))


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
