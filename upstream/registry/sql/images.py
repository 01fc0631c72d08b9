"""Images in a SQL database."""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import false, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from upstream.errors import Conflict, Duplicate, Invalid
from upstream.registry.base import Ceiling, ImageChanges, ImageQuery, Lock
from upstream.registry.sql import changes as change
from upstream.registry.sql import import_lock, usage
from upstream.registry.sql.access import check_id, is_id, projects, visible
from upstream.registry.sql.batches import Batches
from upstream.registry.sql.database import Database
from upstream.registry.sql.failures import repeated
from upstream.registry.sql.listing import page
from upstream.registry.sql.loading import load, whole
from upstream.registry.sql.rows import Record, now, to_image, to_row, to_values
from upstream.registry.sql.tables import images
from upstream.registry.sql.tasks import insert_task
from upstream.types import Context, Image, Status

Asked = tuple[str, str | None]  # an image's id, and the project that asks


class SqlImages:
    """Reads that come together share their statements; each write is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._batches = Batches(self._load_batch)

    async def get(self, context: Context, image_id: str) -> Image:
        check_id(image_id)
        record = await self._batches.get((image_id, context.project_id))
        return to_image(visible(context, image_id, record), context)

    async def list(self, context: Context, query: ImageQuery) -> Sequence[Image]:
        records = await self._database.snapshot(page(self._database.sql_dialect, context, query))
        return [to_image(record, context) for record in records.values()]

    @repeated
    async def create(self, context: Context, image: Image, *, ceiling: Ceiling | None = None) -> Image:
        if not is_id(image.id):
            raise Invalid(f"{image.id!r} cannot be the ID of an image")
        async with self._database.write() as connection:
            if ceiling is not None:
                await usage.take_turn(connection, ceiling)
            try:
                await connection.execute(images.insert().values(to_row(image)))
            except IntegrityError as error:
                raise Duplicate(f"Image ID {image.id} already exists!") from error
            await change.set_properties(connection, image.id, image.properties)
            await change.set_tags(connection, image.id, image.tags)
            await change.set_locations(connection, image.id, image.locations)
            if ceiling is not None:
                await usage.check(connection, ceiling, image.id)
            record = (await load(connection, (image.id,), projects(context)))[image.id]
        return to_image(record, context)

    @repeated
    async def update(
        self,
        context: Context,
        image_id: str,
        changes: ImageChanges,
        *,
        from_status: Collection[Status] = (),
        ceiling: Ceiling | None = None,
        lock: Lock | None = None,
    ) -> Image:
        values = to_values(changes.columns) | {"updated_at": now()}
        statement = update(images).where(images.c.id == image_id, images.c.deleted == false()).values(values)
        if from_status:
            statement = statement.where(images.c.status.in_(sorted(from_status)))
        async with self._database.write() as connection:
            if ceiling is not None:
                await usage.take_turn(connection, ceiling)
            before = await locked(connection, context, image_id)
            if not (await connection.execute(statement)).rowcount:
                wanted = " or ".join(sorted(from_status))
                raise Conflict(f"Image {image_id} is {before.row.status}, and has to be {wanted} for this")
            if lock is not None:
                await import_lock.change(connection, image_id, lock)
                if lock.record is not None:
                    await insert_task(connection, lock.record)
            await change.set_properties(connection, image_id, changes.set_properties)
            await change.remove_properties(connection, image_id, changes.removed_properties)
            if changes.tags is not None:
                await change.set_tags(connection, image_id, changes.tags)
            if changes.locations is not None:
                await change.set_locations(connection, image_id, changes.locations)
            await change.add_locations(connection, image_id, changes.added_locations)
            await change.remove_locations(connection, image_id, changes.removed_locations)
            if ceiling is not None:
                await usage.check(connection, ceiling, image_id)
            record = (await load(connection, (image_id,), projects(context)))[image_id]
        return to_image(record, context)

    @repeated
    async def delete(
        self, context: Context, image_id: str, *, delayed: bool = False, left: Collection[int] = ()
    ) -> Image:
        async with self._database.write() as connection:
            before = await locked(connection, context, image_id)
            status = Status.DELETED
            if delayed and before.locations:
                status, left = Status.PENDING_DELETE, [row_id for row_id, *_ in before.locations]
            await change.soft_delete(connection, image_id, status=status, left=left)
        # Whoever deletes must learn where the bytes are, of a deactivated image too.
        return to_image(before, context, shows_locations=True)

    async def _load_batch(self, asked: Sequence[Asked]) -> Mapping[Asked, Record]:
        ids = dict.fromkeys(image_id for image_id, _ in asked)
        asking = {project for _, project in asked if project is not None}
        found = await self._database.ask(whole(self._database.sql_dialect, ids, tuple(asking)))
        return {key: found[key[0]] for key in asked if key[0] in found}


async def locked(connection: AsyncConnection, context: Context, image_id: str) -> Record:
    """The image, which nobody else changes until this transaction ends. Raises NotFound.

    SQLite leaves FOR UPDATE out: there the whole database is locked already.
    """
    check_id(image_id)
    await connection.execute(select(images.c.id).where(images.c.id == image_id).with_for_update())
    found = await load(connection, (image_id,), projects(context))
    return visible(context, image_id, found.get(image_id))
