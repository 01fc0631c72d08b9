"""Reading images and all that hangs on them in one statement, which every database answers from one moment.

Each row of the answer says what kind it is. Image rows come from the first arm of a UNION; properties, tags, locations
and members give their two texts in the columns of an image's name and status, and NULL in the others. The types of
the columns are those of the first arm, so that no NULL needs a cast.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice, repeat
from typing import Any

from sqlalchemy import (
    BindParameter,
    Boolean,
    DateTime,
    Dialect,
    Select,
    Text,
    bindparam,
    false,
    literal_column,
    null,
    select,
    type_coerce,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from upstream.registry.sql.indexes import unindexed
from upstream.registry.sql.reading import Prepared, Question, Rows, Script, run
from upstream.registry.sql.rows import FIELDS, ImageRow, Record
from upstream.registry.sql.tables import image_locations, image_members, image_properties, image_tags, images

IDS_MAX = 512  # in one statement; SQLite allows 32,766 parameters, and each id is used five times
PREPARED_MAX = 64

_IMAGE, _PROPERTY, _TAG, _LOCATION, _MEMBER = range(5)


def select_images() -> Select[*tuple[Any, ...]]:
    """Rows of images, in the shape that `Record` keeps."""
    return select(literal_column(str(_IMAGE)).label("kind"), images.c.id, literal_column("0").label("row_id"), *FIELDS)


def _select_children(
    width: int, ids: Sequence[BindParameter[str]], projects: Sequence[BindParameter[str]]
) -> tuple[Select[*tuple[Any, ...]], ...]:
    """One arm a kind of child: what it is, whose, its row, two texts, and NULLs up to `width` fields."""
    named, tagged, located, shared = (
        table.c for table in (image_properties, image_tags, image_locations, image_members)
    )
    nulls = (null(),) * (width - 2)
    arms = (
        (_PROPERTY, named, named.name, named.value, ()),
        (_TAG, tagged, tagged.value, tagged.value, ()),
        (_LOCATION, located, located.value, type_coerce(located.meta_data, Text), (located.status == "active",)),
        (_MEMBER, shared, shared.member, shared.status, (shared.member.in_(projects),)),
    )
    return tuple(
        select(literal_column(str(kind)), child.image_id, child.id, first, second, *nulls).where(
            child.image_id.in_(ids), unindexed(child.deleted) == false(), *conditions
        )
        for kind, child, first, second, conditions in arms
        if kind != _MEMBER or projects
    )


@lru_cache(PREPARED_MAX)
def _prepared(dialect: Dialect, ids: int, projects: int, *, with_images: bool) -> Prepared:
    """For so many ids and projects. Image rows come too, or only what hangs on them."""
    asked: list[BindParameter[str]] = [bindparam(f"id_{number}", "") for number in range(ids)]
    asking: list[BindParameter[str]] = [bindparam(f"project_{number}", "") for number in range(projects)]
    given = [parameter.key for parameter in (*asked, *asking)]
    if not with_images:
        return Prepared(union_all(*_select_children(2, asked, asking)), dialect, given)
    whole = select_images().where(images.c.id.in_(asked), unindexed(images.c.deleted) == false())
    return Prepared(union_all(whole, *_select_children(len(FIELDS), asked, asking)), dialect, given)


def _question(dialect: Dialect, ids: Sequence[str], projects: Sequence[str], *, with_images: bool) -> Question:
    """Statements are prepared for 1, 2, 4, 8 … ids; the last one is repeated to fill the number up."""
    filled, asking = _filled_up(ids), _filled_up(projects)
    return _prepared(dialect, len(filled), len(asking), with_images=with_images).ask(*filled, *asking)


def _filled_up(given: Sequence[str]) -> Sequence[str]:
    if len(given) <= 1:
        return given
    return (*given, *repeat(given[-1], (1 << (len(given) - 1).bit_length()) - len(given)))


def whole(dialect: Dialect, image_ids: Collection[str], projects: Collection[str]) -> Script[dict[str, Record]]:
    """The images of these ids that are not deleted. Of their members only `projects` are looked for."""
    records: dict[str, Record] = {}
    for ids in _pieces(image_ids):
        rows = yield _question(dialect, ids, tuple(projects), with_images=True)
        found = _records(dialect, [row for row in rows if row[0] == _IMAGE])
        _attach(found, rows)
        records |= found
    return records


def with_children(dialect: Dialect, rows: Rows, projects: Collection[str]) -> Script[dict[str, Record]]:
    """Records in the order of `rows`, which are those of `select_images`."""
    records = _records(dialect, rows)
    for ids in _pieces(records):
        _attach(records, (yield _question(dialect, ids, tuple(projects), with_images=False)))
    return records


async def load(
    connection: AsyncConnection, image_ids: Collection[str], projects: Collection[str]
) -> Mapping[str, Record]:
    """`whole` within a transaction."""
    return await run(connection, whole(connection.dialect, image_ids, projects))


def _records(dialect: Dialect, rows: Rows) -> dict[str, Record]:
    converters = _converters(dialect)
    records = {}
    for row in rows:
        values = list(row)
        for place, convert in converters:
            values[place] = convert(values[place])
        records[values[1]] = Record(ImageRow._make(values))
    return records


@lru_cache(PREPARED_MAX)
def _converters(dialect: Dialect) -> Sequence[tuple[int, Callable[[Any], Any]]]:
    """What a driver gives that is not yet the value: times, and truths for SQLite. By their places in a row."""
    found: list[tuple[int, Callable[[Any], Any]]] = []
    for place, column in enumerate(FIELDS, start=len(ImageRow._fields) - len(FIELDS)):
        if isinstance(column.type, DateTime):
            found.append((place, _from_text if dialect.name == "sqlite" else _aware))
        elif isinstance(column.type, Boolean):
            convert = column.type.dialect_impl(dialect).result_processor(dialect, None)
            if convert is not None:
                found.append((place, convert))
    return tuple(found)


def _from_text(text: str | None) -> datetime | None:
    """Half the cost of making a time first and giving it its zone then."""
    return None if text is None else datetime.fromisoformat(f"{text}+00:00")


def _aware(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)


def _attach(records: Mapping[str, Record], rows: Rows) -> None:
    """Hand every child to its image. No order of the rows is relied on; the rows' ids give the order."""
    for row in rows:
        kind = row[0]
        if kind == _IMAGE or (record := records.get(row[1])) is None:
            continue
        if kind == _PROPERTY:
            record.properties[row[3]] = row[4]
        elif kind == _TAG:
            record.tags.append((row[2], row[3]))
        elif kind == _LOCATION:
            record.locations.append((row[2], row[3], row[4]))
        else:
            record.members.add(row[3])
    for record in records.values():
        record.tags.sort()
        record.locations.sort()


def _pieces(image_ids: Collection[str]) -> Iterator[Sequence[str]]:
    rest = iter(image_ids)
    while some := list(islice(rest, IDS_MAX)):
        yield some
