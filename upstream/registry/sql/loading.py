"""Reading images and all that hangs on them in one statement, which every database answers from one moment.

Each row of the answer says what kind it is. Image rows come from the first arm of a UNION; properties, tags, locations
and members give their two texts in the columns of an image's name and status, and NULL in the others. The types of
the columns are those of the first arm, so that no NULL needs a cast.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import (
    BindParameter,
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

from upstream.registry.sql.rows import FIELDS, ImageRow, Record
from upstream.registry.sql.tables import image_locations, image_members, image_properties, image_tags, images

IDS_MAX = 500  # in one statement; SQLite allows 32,766 parameters, and each id is used five times

_IMAGE, _PROPERTY, _TAG, _LOCATION, _MEMBER = range(5)

_ids: BindParameter[str] = bindparam("ids", expanding=True)
_projects: BindParameter[str] = bindparam("projects", expanding=True)


def select_images() -> Select[*tuple[Any, ...]]:
    """Rows of images, in the shape that `Record` keeps."""
    return select(literal_column(str(_IMAGE)).label("kind"), images.c.id, literal_column("0").label("row_id"), *FIELDS)


def _select_children(width: int) -> tuple[Select[*tuple[Any, ...]], ...]:
    """One arm a kind of child: what it is, whose, its row, two texts, and NULLs up to `width` fields."""
    named, tagged, located, shared = (
        table.c for table in (image_properties, image_tags, image_locations, image_members)
    )
    nulls = (null(),) * (width - 2)
    arms = (
        (_PROPERTY, named, named.name, named.value, ()),
        (_TAG, tagged, tagged.value, tagged.value, ()),
        (_LOCATION, located, located.value, type_coerce(located.meta_data, Text), (located.status == "active",)),
        (_MEMBER, shared, shared.member, shared.status, (shared.member.in_(_projects),)),
    )
    return tuple(
        select(literal_column(str(kind)), child.image_id, child.id, first, second, *nulls).where(
            child.image_id.in_(_ids), child.deleted == false(), *conditions
        )
        for kind, child, first, second, conditions in arms
    )


_WHOLE = union_all(
    select_images().where(images.c.id.in_(_ids), images.c.deleted == false()), *_select_children(len(FIELDS))
)
_CHILDREN = union_all(*_select_children(2))


async def load(
    connection: AsyncConnection, image_ids: Collection[str], projects: Collection[str]
) -> Mapping[str, Record]:
    """The images of these ids that are not deleted. Of their members only `projects` are looked for."""
    records: dict[str, Record] = {}
    for ids in _pieces(image_ids):
        rows = (await connection.execute(_WHOLE, {"ids": ids, "projects": list(projects)})).all()
        records |= {row[1]: Record(row) for row in rows if row[0] == _IMAGE}
        _attach(records, rows)
    return records


async def load_children(
    connection: AsyncConnection, rows: Sequence[ImageRow], projects: Collection[str]
) -> Mapping[str, Record]:
    """Records in the order of `rows`, which are those of `select_images`."""
    records = {row[1]: Record(row) for row in rows}
    for ids in _pieces(records):
        children = await connection.execute(_CHILDREN, {"ids": ids, "projects": list(projects)})
        _attach(records, children.all())
    return records


def _attach(records: Mapping[str, Record], rows: Sequence[ImageRow]) -> None:
    """Hand every child to its image. No order of the rows is relied on; the rows' ids give the order."""
    touched = set()
    for row in rows:
        kind, image_id, row_id, first, second = row[:5]
        if kind == _IMAGE or (record := records.get(image_id)) is None:
            continue
        if kind == _PROPERTY:
            record.properties[first] = second
        elif kind == _TAG:
            record.tags.append((row_id, first))
        elif kind == _LOCATION:
            record.locations.append((row_id, first, second))
        else:
            record.members.add(first)
        touched.add(image_id)
    for image_id in touched:
        records[image_id].tags.sort()
        records[image_id].locations.sort()


def _pieces(image_ids: Collection[str]) -> Iterator[Sequence[str]]:
    rest = iter(image_ids)
    while some := list(islice(rest, IDS_MAX)):
        yield some
