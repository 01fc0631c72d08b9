"""Members of images in a SQL database.

Source: glance/db/sqlalchemy/api.py, image_member_find and its siblings; glance/db/__init__.py, ImageMemberRepo.
"""

from collections.abc import Sequence
from datetime import UTC
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, false, func, or_, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from upstream.errors import Duplicate, Invalid, LimitExceeded, NotFound
from upstream.registry.sql.database import Database
from upstream.registry.sql.exact import is_text
from upstream.registry.sql.failures import repeated
from upstream.registry.sql.images import locked
from upstream.registry.sql.rows import now
from upstream.registry.sql.tables import image_members, images
from upstream.types import Context, Member, MemberStatus

_MEMBER_LENGTH_MAX = 255
_table = image_members.c
_ALIVE = _table.deleted == false()


class SqlMembers:
    """Each change holds the image locked: no constraint keeps two rows of one pair apart while neither is deleted."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, context: Context, image_id: str) -> Sequence[Member]:
        async with self._database.statement() as connection:
            rows = (await connection.execute(_select_seen(context, image_id))).all()
        return [_member(row) for row in rows]

    async def get(self, context: Context, image_id: str, project_id: str) -> Member:
        async with self._database.statement() as connection:
            return _member(await _seen(connection, context, image_id, project_id))

    @repeated
    async def add(self, context: Context, image_id: str, project_id: str, *, quota: int) -> Member:
        if not _is_project(project_id):
            raise Invalid(f"{project_id[:40]!r} cannot be the ID of a project")
        async with self._database.write() as connection:
            await locked(connection, context, image_id)
            await _check_quota(connection, image_id, quota)
            pair = and_(_table.image_id == image_id, is_text(_table.member, project_id))
            # A deleted row is used again, the oldest of several; locked, so that no purge removes it meanwhile.
            rows = select(_table.id, _table.deleted).where(pair).order_by(_table.id).with_for_update()
            known = (await connection.execute(rows)).all()
            if not all(row.deleted for row in known):
                raise Duplicate(f"Member {project_id} is duplicated for image {image_id}")
            moment = now()
            fresh = {"status": MemberStatus.PENDING.value, "deleted": False, "deleted_at": None, "updated_at": moment}
            if known:
                await connection.execute(update(image_members).where(_table.id == known[0].id).values(fresh))
            else:
                fresh |= {"image_id": image_id, "member": project_id, "can_share": False, "created_at": moment}
                await connection.execute(image_members.insert().values(fresh))
            found = await connection.execute(_select(and_(pair, _ALIVE)))
            return _member(found.one())

    @repeated
    async def answer(self, context: Context, image_id: str, project_id: str, status: MemberStatus) -> Member:
        async with self._database.write() as connection:
            await locked(connection, context, image_id)
            row = await _seen(connection, context, image_id, project_id)
            changed = {"status": status.value, "updated_at": now()}
            await connection.execute(update(image_members).where(_table.id == row.id).values(changed))
            return _member(await _seen(connection, context, image_id, project_id))

    @repeated
    async def remove(self, context: Context, image_id: str, project_id: str) -> None:
        async with self._database.write() as connection:
            await locked(connection, context, image_id)
            row = await _seen(connection, context, image_id, project_id)
            moment = now()
            deleted = {"deleted": True, "deleted_at": moment, "updated_at": moment}
            await connection.execute(update(image_members).where(_table.id == row.id).values(deleted))


async def _check_quota(connection: AsyncConnection, image_id: str, quota: int) -> None:
    alive = select(func.count()).select_from(image_members).where(_table.image_id == image_id, _ALIVE)
    count = (await connection.execute(alive)).scalar_one()
    if 0 <= quota < count + 1:
        raise LimitExceeded(
            f"The limit on the number of image members would be passed. Attempted: {count + 1}, Maximum: {quota}"
        )


async def _seen(connection: AsyncConnection, context: Context, image_id: str, project_id: str) -> Row[*tuple[Any, ...]]:
    if _is_project(project_id):
        found = await connection.execute(_select_seen(context, image_id).where(is_text(_table.member, project_id)))
        if (row := found.first()) is not None:
            return row
    raise NotFound("member", project_id)


def _is_project(project_id: str) -> bool:
    return 0 < len(project_id) <= _MEMBER_LENGTH_MAX and "\0" not in project_id


def _select_seen(context: Context, image_id: str) -> Select[*tuple[Any, ...]]:
    """The members of an image that `context` may know of."""
    if "\0" in image_id:
        return _select(false())
    return _select(and_(_table.image_id == image_id, _ALIVE, images.c.deleted == false(), _is_shown(context)))


def _is_shown(context: Context) -> ColumnElement[bool]:
    if context.is_admin:
        return true()
    if context.project_id is None:
        return images.c.owner.is_(None)
    return or_(is_text(images.c.owner, context.project_id), is_text(_table.member, context.project_id))


def _select(condition: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    columns = (_table.id, _table.image_id, _table.member, _table.status, _table.created_at, _table.updated_at)
    return select(*columns).join(images, images.c.id == _table.image_id).where(condition).order_by(_table.id)


def _member(row: Row[*tuple[Any, ...]]) -> Member:
    return Member(
        image_id=row.image_id,
        project_id=row.member,
        status=MemberStatus(row.status),
        created_at=row.created_at.replace(tzinfo=UTC),
        updated_at=(row.updated_at or row.created_at).replace(tzinfo=UTC),
    )
