"""What projects have in a SQL database, counted as their quotas count it.

Source: glance/db/sqlalchemy/api.py, _image_get_disk_usage_by_owner and its siblings.
"""

from typing import Any

from sqlalchemy import ColumnElement, Select, exists, false, func, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from upstream.errors import LimitExceeded
from upstream.registry.base import Ceiling, ProjectUsage
from upstream.registry.sql.database import Database
from upstream.registry.sql.tables import alembic_version, image_locations, image_properties, images
from upstream.types import Status

IMPORTING_TO_STORES = "os_glance_importing_to_stores"

_GONE = (Status.KILLED, Status.DELETED, Status.PENDING_DELETE)
_STAGED = (Status.UPLOADING, Status.IMPORTING)
_UPLOADING = (Status.SAVING, *_STAGED)


class SqlUsage:
    """Each call is one statement."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, project_id: str | None, *, without_image: str | None = None) -> ProjectUsage:
        async with self._database.statement() as connection:
            return await count(connection, project_id, without_image)


async def take_turn(connection: AsyncConnection, ceiling: Ceiling) -> None:
    """Wait for other transactions that count what the same project has: all lock its oldest image.

    Who found none locks the stamp of the schema, the one row that is always there, and looks again: others may have
    made the first image meanwhile, and have theirs locked by it. An older one than that which was locked may also have
    come, or the locked one have been purged. SQLite has one writer anyway.
    """
    oldest = select(images.c.id).where(images.c.owner == ceiling.project_id)
    oldest = oldest.order_by(images.c.created_at, images.c.id).limit(1)
    held: list[str | None] = []
    while (first := await connection.scalar(oldest)) not in held:
        row = select(images.c.id).where(images.c.id == first) if first else select(alembic_version.c.version_num)
        locked = (await connection.execute(row.with_for_update())).first()
        held = [first] if locked else []


async def check(connection: AsyncConnection, ceiling: Ceiling, image_id: str) -> None:
    """Raises LimitExceeded if the project has more than it may, now that the change is made."""
    usage = await count(connection, ceiling.project_id, image_id)
    bounds = (
        ("bytes of image data", usage.stored_bytes, ceiling.other_bytes_max),
        ("images", usage.images, ceiling.images_max),
        ("images that are being uploaded", usage.uploading, ceiling.uploading_max),
    )
    for what, have, most in bounds:
        if most is not None and have > most:
            raise LimitExceeded(f"The project's limit on {what} would be passed.")


async def count(connection: AsyncConnection, project_id: str | None, without_image: str | None) -> ProjectUsage:
    row = (await connection.execute(_statement(project_id, without_image))).one()
    return ProjectUsage(*(int(value or 0) for value in row))


def _statement(project_id: str | None, without_image: str | None) -> Select[*tuple[Any, ...]]:
    own = images.c.owner == project_id
    others = images.c.id != without_image if without_image is not None else true()
    has_data = images.c.size > 0
    stored = (
        select(func.sum(images.c.size))
        .join_from(images, image_locations, image_locations.c.image_id == images.c.id)
        .where(own, others, has_data, images.c.status.not_in(_GONE), image_locations.c.status != Status.DELETED.value)
    )
    staged = select(func.sum(images.c.size)).where(own, has_data, _is_in(_STAGED))
    there = select(func.count()).select_from(images).where(own, images.c.status.not_in(_GONE))
    uploading = select(func.count()).select_from(images).where(own, _is_in(_UPLOADING))
    return select(*(part.scalar_subquery() for part in (stored, staged, there, uploading)))


def _is_in(statuses: tuple[Status, ...]) -> ColumnElement[bool]:
    """In one of these states, or being copied to more stores."""
    copying = exists().where(
        image_properties.c.image_id == images.c.id,
        image_properties.c.name == IMPORTING_TO_STORES,
        image_properties.c.value != "",
        image_properties.c.deleted == false(),
    )
    return images.c.status.in_(statuses) | (images.c.status.not_in(_GONE) & copying)
