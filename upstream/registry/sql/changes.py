"""Changes to what hangs on an image. The caller holds the image locked, so nothing moves between reading and writing.

Rows are deleted softly: they stay with `deleted` set, as Glance's `db purge` expects them.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Table, bindparam, false, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from upstream.errors import Invalid
from upstream.registry.sql.clock import database_time
from upstream.registry.sql.exact import is_one_of, is_text
from upstream.registry.sql.rows import now
from upstream.registry.sql.tables import image_locations, image_members, image_properties, image_tags, images
from upstream.types import Location, Status

GONE = frozenset({Status.DELETED, Status.PENDING_DELETE})
_TICK = timedelta(seconds=1)


async def set_properties(connection: AsyncConnection, image_id: str, properties: Mapping[str, str | None]) -> None:
    """Set these and leave the others. A deleted row of the same name is used again: the pair is unique.

    The rows are locked, as a purge of deleted ones does not care for the image's lock.
    """
    if not properties:
        return
    table = image_properties
    rows = select(table.c.name, table.c.id).where(table.c.image_id == image_id)
    known = await connection.execute(rows.with_for_update())
    ids = {row.name: row.id for row in known}
    moment = now()
    changed = [{"row": ids[name], "new": value} for name, value in properties.items() if name in ids]
    if changed:
        statement = update(table).where(table.c.id == bindparam("row"))
        undeleted = {"value": bindparam("new"), "deleted": False, "deleted_at": None, "updated_at": moment}
        await connection.execute(statement.values(undeleted), changed)
    fresh = [{"name": name, "value": value} for name, value in properties.items() if name not in ids]
    await _insert(connection, table, image_id, fresh)


async def remove_properties(connection: AsyncConnection, image_id: str, names: Collection[str]) -> None:
    """Names that are not there are passed over."""
    if names:
        table = image_properties
        statement = update(table).where(table.c.image_id == image_id, is_one_of(table.c.name, names))
        await connection.execute(statement.where(table.c.deleted == false()).values(_deleted()))


async def set_tags(connection: AsyncConnection, image_id: str, tags: Collection[str]) -> None:
    """Make these the image's tags. Those that stay keep their place, new ones come after them."""
    wanted = dict.fromkeys(tags)
    table = image_tags
    alive = select(table.c.value).where(table.c.image_id == image_id, table.c.deleted == false())
    there = set(await connection.scalars(alive))
    await _insert(connection, table, image_id, [{"value": tag} for tag in wanted if tag not in there])
    for tag in there.difference(wanted):
        await remove_tag(connection, image_id, tag)


async def remove_tag(connection: AsyncConnection, image_id: str, tag: str) -> bool:
    """Whether the tag was there. Older rows may hold it twice."""
    table = image_tags
    statement = update(table).where(
        table.c.image_id == image_id, is_text(table.c.value, tag), table.c.deleted == false()
    )
    return bool((await connection.execute(statement.values(_deleted()))).rowcount)


async def set_locations(connection: AsyncConnection, image_id: str, locations: Sequence[Location]) -> None:
    """Make these the image's locations: with an id, that row; without, a new one after all others.

    Raises Invalid for an id that is none of this image's.
    """
    table = image_locations
    alive = select(table.c.id).where(table.c.image_id == image_id, table.c.deleted == false())
    there = set(await connection.scalars(alive))
    kept = {location.id: location for location in locations if location.id is not None}
    if not there.issuperset(kept):
        raise Invalid(f"Image {image_id} has no location with such an id")
    for row_id in there.difference(kept):
        deleted = _deleted() | {"status": Status.DELETED.value}
        await connection.execute(update(table).where(table.c.id == row_id).values(deleted))
    for row_id, location in kept.items():
        values = _location(location)
        # Who makes a location `pending_delete` so deletes its data: it is claimed, see upstream/registry/locations.py.
        moment = await database_time(connection) if values["deleted"] else now()
        values |= {"updated_at": later_than(values["deleted_at"], moment)}
        await connection.execute(update(table).where(table.c.id == row_id).values(values))
    fresh = [_location(location) for location in locations if location.id is None]
    await _insert(connection, table, image_id, fresh)


async def add_locations(connection: AsyncConnection, image_id: str, locations: Sequence[Location]) -> None:
    """Behind those that are there."""
    await _insert(connection, image_locations, image_id, [_location(location) for location in locations])


async def insert_left(connection: AsyncConnection, image_id: str, location: Location) -> int:
    """A row whose data are to be deleted, and nobody works at it; its id."""
    gone = _deleted()
    values = {"image_id": image_id, "value": location.url, "meta_data": dict(location.metadata)}
    values |= {"status": Status.PENDING_DELETE.value, "created_at": gone["updated_at"], **gone}
    inserted = await connection.execute(image_locations.insert().values(values))
    assert inserted.inserted_primary_key is not None
    return int(inserted.inserted_primary_key[0])


async def remove_locations(connection: AsyncConnection, image_id: str, ids: Collection[int]) -> None:
    """Ids that are none of this image's are passed over."""
    if ids:
        table = image_locations
        statement = update(table).where(table.c.image_id == image_id, table.c.id.in_(list(ids)))
        await connection.execute(statement.values(_deleted() | {"status": Status.DELETED.value}))


async def touch(connection: AsyncConnection, image_id: str) -> None:
    await connection.execute(update(images).where(images.c.id == image_id).values(updated_at=now()))


async def soft_delete(
    connection: AsyncConnection, image_id: str, *, status: Status = Status.DELETED, left: Collection[int] = ()
) -> None:
    """The image and all that hangs on it, at one moment. Of locations that are `left` the data are still to be deleted.

    Source: glance/db/sqlalchemy/api.py, image_destroy.
    """
    gone, deleted, pending = _deleted(), {"status": Status.DELETED.value}, {"status": Status.PENDING_DELETE.value}
    await connection.execute(update(images).where(images.c.id == image_id).values(gone | {"status": status.value}))
    if left:
        statement = update(image_locations).where(image_locations.c.image_id == image_id)
        statement = statement.where(image_locations.c.id.in_(list(left)), image_locations.c.deleted == false())
        await connection.execute(statement.values(gone | pending))
    for table, more in ((image_locations, deleted), (image_properties, {}), (image_members, {}), (image_tags, {})):
        statement = update(table).where(table.c.image_id == image_id, table.c.deleted == false())
        await connection.execute(statement.values(gone | more))


def later_than(moment: datetime | None, at: datetime) -> datetime:
    """The time `at`, but in a later second than `moment`: every database tells these apart."""
    return at if moment is None else max(at, moment + _TICK).replace(microsecond=0)


def _location(location: Location) -> dict[str, Any]:
    is_gone = location.status in GONE
    return {
        "value": location.url,
        "meta_data": dict(location.metadata),
        "status": location.status,
        "deleted": is_gone,
        "deleted_at": now() if is_gone else None,
    }


def _deleted() -> dict[str, Any]:
    moment = now()
    return {"deleted": True, "deleted_at": moment, "updated_at": moment}


async def _insert(connection: AsyncConnection, table: Table, image_id: str, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        moment = now()
        common = {"image_id": image_id, "created_at": moment, "updated_at": moment, "deleted": False}
        await connection.execute(table.insert(), [common | dict(row) for row in rows])
