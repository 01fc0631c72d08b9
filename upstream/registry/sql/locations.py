"""Locations in a SQL database whose data are to be deleted."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, false, or_, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from upstream.errors import Conflict, NotFound
from upstream.registry.base import IMPORT_LOCK
from upstream.registry.locations import DueLocation, DueQuery, PendingImage
from upstream.registry.sql import restoring
from upstream.registry.sql.access import check_id
from upstream.registry.sql.changes import insert_left, later_than, touch
from upstream.registry.sql.clock import database_time
from upstream.registry.sql.database import Database
from upstream.registry.sql.failures import repeated
from upstream.registry.sql.rows import now, to_naive
from upstream.registry.sql.tables import image_locations, image_properties, images
from upstream.types import Location, Status

_PENDING = Status.PENDING_DELETE.value
_WRITTEN_TO = (Status.SAVING.value, Status.IMPORTING.value)
_READABLE = (Status.ACTIVE.value, Status.DEACTIVATED.value)
_GLANCES_WAY = timedelta(seconds=60)  # from the first of its statements that deletes an image to the last
_FIELDS = (
    image_locations.c.id,
    image_locations.c.value,
    image_locations.c.meta_data,
    image_locations.c.status,
    image_locations.c.updated_at,
    image_locations.c.deleted_at,
)


class SqlLocations:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def due(self, query: DueQuery) -> Sequence[DueLocation]:
        statement = (
            select(*_FIELDS, image_locations.c.image_id, images.c.size)
            .join_from(image_locations, images, image_locations.c.image_id == images.c.id)
            .where(image_locations.c.id > query.after)
            .order_by(image_locations.c.id)
            .limit(query.limit)
        )
        async with self._database.statement() as connection:
            unheard_since = await _before(connection, query.unheard_s)
            rows = await connection.execute(statement.where(*_is_due(query, unheard_since)))
            return [DueLocation(image_id=row.image_id, location=_location(row), size_bytes=row.size) for row in rows]

    @repeated
    async def claim(self, image_id: str, location_id: int, unheard_s: float) -> datetime:
        async with self._database.write() as connection:
            await _take_turn(connection, image_id)
            found = await _pending(connection, image_id, location_id)
            if found is None or is_claimed(found, await _before(connection, unheard_s)):
                raise _others(image_id, location_id)
            return await _hold(connection, found)

    @repeated
    async def renew(self, image_id: str, location_id: int, claimed_at: datetime | None = None) -> datetime:
        async with self._database.write() as connection:
            await _take_turn(connection, image_id)
            found = await _pending(connection, image_id, location_id)
            if found is None or not _is_held_since(found, claimed_at):
                raise _others(image_id, location_id)
            return await _hold(connection, found)

    @repeated
    async def settle(self, image_id: str, location_id: int, status: Status, claimed_at: datetime | None = None) -> None:
        table, moment = image_locations, now()
        row = and_(table.c.id == location_id, table.c.image_id == image_id, table.c.status == _PENDING)
        values: dict[str, Any] = {"status": status.value, "deleted": True, "deleted_at": moment, "updated_at": moment}
        if status is Status.ACTIVE:
            values |= {"deleted": False, "deleted_at": None}
        elif status is Status.PENDING_DELETE:
            values = {"updated_at": table.c.deleted_at}
        async with self._database.write() as connection:
            await _take_turn(connection, image_id)
            found = await _pending(connection, image_id, location_id)
            if found is None:
                raise NotFound("location", str(location_id))
            if not _is_held_since(found, claimed_at):
                raise _others(image_id, location_id)
            await connection.execute(update(table).where(row).values(values))
            await touch(connection, image_id)
            await _close(connection, images.c.id == image_id)

    @repeated
    async def leave(self, image_id: str, locations: Sequence[Location]) -> Sequence[int]:
        check_id(image_id)
        async with self._database.write() as connection:
            if await connection.scalar(select(images.c.id).where(images.c.id == image_id)) is None:
                raise NotFound("image", image_id)
            return [await insert_left(connection, image_id, location) for location in locations]

    @repeated
    async def close_images(self, deleted_before: datetime) -> int:
        async with self._database.write() as connection:
            return await _close(connection, images.c.deleted_at <= to_naive(deleted_before))

    async def pending(self, image_id: str, unheard_s: float) -> PendingImage:
        async with self._database.read() as connection:
            image, rows = await _restorable(connection, image_id, unheard_s)
        locations = tuple(_location(row) for row in rows)
        return PendingImage(id=image.id, name=image.name, size_bytes=image.size, locations=locations)

    @repeated
    async def restore(self, image_id: str, unheard_s: float) -> None:
        async with self._database.write() as connection:
            await _take_turn(connection, image_id)
            image, rows = await _restorable(connection, image_id, unheard_s)
            await restoring.revive(connection, image.id, [row.id for row in rows], min(row.deleted_at for row in rows))


async def _take_turn(connection: AsyncConnection, image_id: str) -> None:
    """Who settles the last location of an image sees that the others are, and who restores it that none is claimed."""
    await connection.execute(select(images.c.id).where(images.c.id == image_id).with_for_update())


async def _before(connection: AsyncConnection, seconds: float) -> datetime:
    return await database_time(connection) - timedelta(seconds=seconds)


async def _pending(connection: AsyncConnection, image_id: str, location_id: int) -> Any:
    """The row of data that are to be deleted, or None."""
    table = image_locations
    row = and_(table.c.id == location_id, table.c.image_id == image_id, table.c.status == _PENDING)
    return (await connection.execute(select(*_FIELDS).where(row))).first()


async def _hold(connection: AsyncConnection, row: Any) -> datetime:
    """Make the row ours from this moment on, which tells this claim from all others."""
    claimed_at = later_than(row.deleted_at, await database_time(connection))
    statement = update(image_locations).where(image_locations.c.id == row.id)
    await connection.execute(statement.values(updated_at=claimed_at))
    return claimed_at.replace(tzinfo=UTC)


def _is_held_since(row: Any, claimed_at: datetime | None) -> bool:
    return claimed_at is None or row.updated_at == to_naive(claimed_at)


def _others(image_id: str, location_id: int) -> Conflict:
    return Conflict(f"Location {location_id} of image {image_id} is looked after by another")


async def _restorable(connection: AsyncConnection, image_id: str, unheard_s: float) -> tuple[Any, Sequence[Any]]:
    """The rows of the image and of the locations that went with it. Raises NotFound, Conflict."""
    check_id(image_id)
    statement = select(images.c.id, images.c.name, images.c.size, images.c.status, images.c.deleted_at)
    image = (await connection.execute(statement.where(images.c.id == image_id))).first()
    if image is None:
        raise NotFound("image", image_id)
    of_image = select(*_FIELDS).where(image_locations.c.image_id == image_id).order_by(image_locations.c.id)
    rows = (await connection.execute(of_image)).all()
    return image, _went_along(image, rows, await _before(connection, unheard_s))


def is_claimed(row: Any, unheard_since: datetime) -> bool:
    """Whether somebody works at a `pending_delete` row, and was heard of."""
    if row.updated_at is None or row.updated_at < unheard_since:
        return False
    return row.deleted_at is None or bool(row.updated_at > row.deleted_at)


def _went_along(image: Any, rows: Sequence[Any], unheard_since: datetime) -> Sequence[Any]:
    """Raises Conflict if the image cannot be restored.

    Glance marks the locations first, and the image when it has asked other services; its own restoring leaves the
    locations as they are.
    """
    is_half_restored = image.status == Status.ACTIVE and not any(row.status == Status.ACTIVE for row in rows)
    if image.status != Status.PENDING_DELETE and not is_half_restored:
        raise Conflict(f"Image {image.id} is {image.status}: only one that is pending_delete can be restored")
    since = image.deleted_at and image.deleted_at - _GLANCES_WAY
    gone = [row for row in rows if since and row.deleted_at and row.deleted_at >= since]
    if not gone or any(row.status != _PENDING for row in gone):
        raise Conflict(f"Image {image.id} cannot be restored: its data, or some of them, are deleted already")
    if any(is_claimed(row, unheard_since) for row in gone):
        raise Conflict(f"Image {image.id} cannot be restored: its data are being deleted right now")
    return gone


def _is_due(query: DueQuery, unheard_since: datetime) -> Iterator[ColumnElement[bool]]:
    table = image_locations.c
    yield table.deleted == true()
    yield table.status == _PENDING
    yield or_(table.deleted_at.is_(None), table.deleted_at <= to_naive(query.deleted_before))
    unheard = or_(table.updated_at.is_(None), table.updated_at < unheard_since)
    yield or_(unheard, table.updated_at <= table.deleted_at)
    if not query.of_pending_images:
        yield images.c.status != _PENDING
    if query.image_id is not None:
        yield table.image_id == query.image_id
        return
    yield images.c.status.not_in(_WRITTEN_TO)
    of_image, lock = image_locations.alias(), image_properties.c
    is_living = exists().where(of_image.c.image_id == images.c.id, of_image.c.deleted == false())
    is_locked = exists().where(lock.image_id == images.c.id, lock.name == IMPORT_LOCK, lock.deleted == false())
    yield or_(images.c.deleted == true(), and_(~is_locked, or_(images.c.status.not_in(_READABLE), is_living)))


async def _close(connection: AsyncConnection, which: ColumnElement[bool]) -> int:
    """Images of these that have nothing to delete any more."""
    is_open = exists().where(image_locations.c.image_id == images.c.id, image_locations.c.status == _PENDING)
    statement = update(images).where(which, images.c.status == _PENDING, images.c.deleted == true(), ~is_open)
    return (await connection.execute(statement.values(status=Status.DELETED.value, updated_at=now()))).rowcount


def _location(row: Any) -> Location:
    return Location(id=row.id, url=row.value, metadata=row.meta_data or {}, status=row.status)
