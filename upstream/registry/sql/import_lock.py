"""The import lock of an image: a property whose row is there once, so that one of many who take it gets it.

The statements are such that a Glance, which takes it without locking the image, is kept out by them, and they by it.
Source: glance/db/sqlalchemy/api.py, image_set_property_atomic.
"""

from sqlalchemy import delete, false, insert, true, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from upstream.errors import Conflict
from upstream.registry.base import IMPORT_LOCK, Lock
from upstream.registry.sql.rows import now
from upstream.registry.sql.tables import image_properties

_table = image_properties


async def change(connection: AsyncConnection, image_id: str, lock: Lock) -> None:
    """Compare and set. Raises Conflict if nobody of `lock.before` holds it; the transaction is to be rolled back."""
    holders = [holder for holder in lock.before if holder is not None]
    if holders and await _passed_on(connection, image_id, holders, lock.after):
        return
    if None not in lock.before or not await _taken(connection, image_id, lock.after):
        raise Conflict(f"Another task works on image {image_id}")


async def _passed_on(connection: AsyncConnection, image_id: str, holders: list[str], after: str | None) -> bool:
    """Whether one of `holders` had it."""
    held = (_table.c.image_id == image_id, _table.c.name == IMPORT_LOCK, _table.c.deleted == false())
    if after is None:
        statement = delete(_table).where(*held, _table.c.value.in_(holders))
        return bool((await connection.execute(statement)).rowcount)
    # Also where the holder stays: an update locks the row until the change of the image is done.
    passed = update(_table).where(*held, _table.c.value.in_(holders)).values(value=after, updated_at=now())
    return bool((await connection.execute(passed)).rowcount)


async def _taken(connection: AsyncConnection, image_id: str, task_id: str | None) -> bool:
    """Whether nobody had it. A row that was deleted softly is used again: the pair of image and name is unique."""
    if task_id is None:
        return True
    key = {"image_id": image_id, "name": IMPORT_LOCK}
    fresh = {"value": task_id, "deleted": False, "deleted_at": None, "updated_at": now()}
    free = (_table.c.image_id == image_id, _table.c.name == IMPORT_LOCK, _table.c.deleted == true())
    if (await connection.execute(update(_table).where(*free).values(fresh))).rowcount:
        return True
    try:
        await connection.execute(insert(_table).values(key | fresh | {"created_at": now()}))
    except IntegrityError:
        return False
    return True
