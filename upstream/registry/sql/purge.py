"""Removing for good what was deleted softly long ago, as `glance-manage db purge` and `purge_images_table` do.

Source: glance/db/sqlalchemy/api.py, purge_deleted_rows and purge_deleted_rows_from_images. Three things differ. A row
that is alive stays, although its `deleted_at` tells of a deletion that was taken back: Glance's own changes leave that
behind, and its purge removes such rows. A batch is a transaction of its own, so that nobody waits long for the locks
of a large purge. An image whose properties, tags, locations or members are not purged yet stays, in place of an error
that purges none.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Table, delete, exists, func, or_, select, true

from upstream.registry.sql.database import Database
from upstream.registry.sql.failures import repeated
from upstream.registry.sql.tables import (
    image_locations,
    image_members,
    image_properties,
    image_tags,
    images,
    task_info,
    tasks,
)

CHILDREN = (image_properties, image_tags, image_locations, image_members)
BATCH_MAX = 500  # rows of one transaction
_WINDOW_MAX = 20_000  # ids that are looked up at once: no index finds the oldest


@dataclass(frozen=True, slots=True)
class Purged:
    """So many rows more of this table are gone."""

    table: str
    rows: int


class Purge:
    """One run. `rows_max` is for each table, None for no limit; of `images` only with `of_images`, and then only these.

    The ids of images that are gone may be used again, by anybody: OSSN-0075 is why Glance keeps them longer.
    """

    def __init__(
        self,
        database: Database,
        *,
        deleted_before: datetime,
        rows_max: int | None,
        of_images: bool = False,
        batch_max: int = BATCH_MAX,
    ) -> None:
        self._database = database
        self._before, self._rows_max, self._batch_max = deleted_before, rows_max, batch_max
        self.tables: Sequence[Table] = (images,) if of_images else (*CHILDREN, tasks)

    async def expected(self) -> dict[str, int]:
        """How many rows of each table a run would remove now."""
        counts: dict[str, int] = {}
        async with self._database.read() as connection:
            for table in self.tables:
                statement = select(func.count()).select_from(table).where(*self._is_due(table))
                there = (await connection.execute(statement)).scalar_one()
                counts[table.name] = there if self._rows_max is None else min(there, self._rows_max)
        return counts

    async def kept(self) -> int:
        """How many images are old enough, but have rows in other tables still."""
        statement = select(func.count()).select_from(images).where(*self._is_old(images), _has_children())
        async with self._database.read() as connection:
            return int((await connection.execute(statement)).scalar_one())

    async def run(self) -> AsyncIterator[Purged]:
        """After each batch what it removed. Who stops in between keeps what was removed until then."""
        for table in self.tables:
            left = self._rows_max
            while left is None or left > 0:
                ids = await self._oldest(table, _WINDOW_MAX if left is None else min(left, _WINDOW_MAX))
                removed = 0
                for start in range(0, len(ids), self._batch_max):
                    rows = await self._remove(table, ids[start : start + self._batch_max])
                    removed += rows
                    yield Purged(table.name, rows)
                if not removed:
                    break
                left = None if left is None else left - removed

    async def _oldest(self, table: Table, count: int) -> Sequence[Any]:
        statement = select(table.c.id).where(*self._is_due(table)).order_by(table.c.deleted_at, table.c.id)
        async with self._database.read() as connection:
            return (await connection.scalars(statement.limit(count))).all()

    @repeated
    async def _remove(self, table: Table, ids: Sequence[Any]) -> int:
        """Those of them that nobody made alive again meanwhile."""
        async with self._database.write() as connection:
            if table is tasks:
                due = select(tasks.c.id).where(tasks.c.id.in_(ids), *self._is_due(tasks)).with_for_update()
                ids = (await connection.scalars(due)).all()
                await connection.execute(delete(task_info).where(task_info.c.task_id.in_(ids)))
            statement = delete(table).where(table.c.id.in_(ids), *self._is_due(table))
            return (await connection.execute(statement)).rowcount

    def _is_due(self, table: Table) -> tuple[ColumnElement[bool], ...]:
        return (*self._is_old(table), ~_has_children()) if table is images else self._is_old(table)

    def _is_old(self, table: Table) -> tuple[ColumnElement[bool], ...]:
        return table.c.deleted == true(), table.c.deleted_at < self._before


def _has_children() -> ColumnElement[bool]:
    return or_(*(exists().where(table.c.image_id == images.c.id) for table in CHILDREN))
