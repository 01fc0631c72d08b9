"""Records of tasks in a SQL database, in two tables as Glance has them."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, RowMapping, Select, false, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from upstream.errors import Conflict, Invalid, NotFound
from upstream.registry.base import TaskQuery
from upstream.registry.sql.database import Database
from upstream.registry.sql.failures import repeated
from upstream.registry.sql.paging import after, order_by
from upstream.registry.sql.rows import now, plain, to_naive
from upstream.registry.sql.tables import task_info, tasks
from upstream.types import Context, Task, TaskStatus

_ID_LENGTH_MAX = 36
_ENDED = frozenset({TaskStatus.SUCCESS, TaskStatus.FAILURE})
# From which a task may come into each. Source: glance/domain/__init__.py, Task.
_BEFORE: Mapping[TaskStatus, tuple[TaskStatus, ...]] = {
    TaskStatus.PROCESSING: (TaskStatus.PENDING,),
    TaskStatus.SUCCESS: (TaskStatus.PROCESSING,),
    TaskStatus.FAILURE: (TaskStatus.PENDING, TaskStatus.PROCESSING),
}


class SqlTasks:
    """Each call is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @repeated
    async def create(self, task: Task) -> None:
        async with self._database.write() as connection:
            await insert_task(connection, task)

    async def get(self, context: Context, task_id: str) -> Task:
        async with self._database.statement() as connection:
            return _task(await _row(connection, context, task_id))

    @repeated
    async def list(self, context: Context, query: TaskQuery) -> Sequence[Task]:
        statement = select(tasks).where(tasks.c.deleted == false(), *_seen_by(context))
        statement = statement.where(*(_column(name) == value for name, value in query.filters.items()))
        sort = [(name, query.order) for name in dict.fromkeys((query.sort_key, "created_at", "id"))]
        async with self._database.write() as connection:
            await _delete_expired(connection, context)
            if query.marker is not None:
                marker = await _marker(connection, context, query.marker)
                statement = statement.where(after(sort, marker, _column))
            statement = statement.order_by(*order_by(sort, self._database.dialect, _column)).limit(query.limit)
            rows = (await connection.execute(statement)).all()
        return [_task(row) for row in rows]

    @repeated
    async def of_image(self, context: Context, image_id: str) -> Sequence[Task]:
        alive = or_(tasks.c.expires_at.is_(None), tasks.c.expires_at >= now())
        statement = _whole().where(tasks.c.image_id == image_id, tasks.c.deleted == false(), alive, *_seen_by(context))
        async with self._database.write() as connection:
            await _delete_expired(connection, context)
            rows = (await connection.execute(statement.order_by(tasks.c.created_at, tasks.c.id))).all()
        return [_task(row) for row in rows]

    async def stale(self, status: TaskStatus, before: datetime, limit: int) -> Sequence[Task]:
        statement = _whole().where(tasks.c.status == status.value, tasks.c.deleted == false())
        statement = statement.where(tasks.c.updated_at < to_naive(before)).order_by(tasks.c.updated_at).limit(limit)
        async with self._database.statement() as connection:
            return [_task(row) for row in await connection.execute(statement)]

    @repeated
    async def touch(self, task_id: str, message: str = "") -> None:
        async with self._database.write() as connection:
            await _move(connection, task_id, (TaskStatus.PROCESSING,), {})
            await _set_info(connection, task_id, {"message": message})

    @repeated
    async def begin(self, task_id: str) -> None:
        values = {"status": TaskStatus.PROCESSING.value}
        async with self._database.write() as connection:
            await _move(connection, task_id, _BEFORE[TaskStatus.PROCESSING], values)

    @repeated
    async def end(
        self,
        task_id: str,
        status: TaskStatus,
        *,
        expires_at: datetime,
        result: Mapping[str, Any] | None = None,
        message: str = "",
    ) -> None:
        assert status in _ENDED
        values = {"status": status.value, "expires_at": to_naive(expires_at)}
        async with self._database.write() as connection:
            await _move(connection, task_id, _BEFORE[status], values)
            await _set_info(connection, task_id, {"result": result, "message": message})


async def insert_task(connection: AsyncConnection, task: Task) -> None:
    """Raises Invalid for what no column takes."""
    values = {
        "id": task.id,
        "type": task.type,
        "status": task.status,
        "owner": task.owner,
        "expires_at": task.expires_at,
        "created_at": task.created_at,
        "updated_at": task.updated_at,
        "deleted": False,
        "image_id": task.image_id,
        "request_id": task.request_id,
        "user_id": task.user_id,
    }
    row = {name: plain(tasks.c[name], value) for name, value in values.items()}
    info = {"task_id": task.id, "input": task.input, "result": task.result, "message": task.message}
    await connection.execute(insert(tasks).values(row))
    await connection.execute(insert(task_info).values(info))


async def _move(
    connection: AsyncConnection, task_id: str, before: Collection[TaskStatus], values: Mapping[str, Any]
) -> None:
    statement = update(tasks).where(tasks.c.id == task_id, tasks.c.status.in_(sorted(before)))
    statement = statement.values({**values, "updated_at": now()})
    if "\0" in task_id or not (await connection.execute(statement)).rowcount:
        raise Conflict(f"Task {task_id} is not {' or '.join(sorted(before))}")


async def _set_info(connection: AsyncConnection, task_id: str, values: Mapping[str, Any]) -> None:
    await connection.execute(update(task_info).where(task_info.c.task_id == task_id).values(dict(values)))


async def _delete_expired(connection: AsyncConnection, context: Context) -> None:
    """Source: glance/db/sqlalchemy/api.py, _task_soft_delete: those of the project that asks."""
    moment = now()
    expired = (tasks.c.owner == _owner(context), tasks.c.deleted == false(), tasks.c.expires_at <= moment)
    await connection.execute(update(tasks).where(*expired).values(deleted=True, deleted_at=moment))


def _whole() -> Select[Any]:
    joined = tasks.outerjoin(task_info, tasks.c.id == task_info.c.task_id)
    return select(tasks, task_info.c.input, task_info.c.result, task_info.c.message).select_from(joined)


async def _row(connection: AsyncConnection, context: Context, task_id: str) -> Row[Any]:
    """Raises NotFound."""
    if not 0 < len(task_id) <= _ID_LENGTH_MAX or "\0" in task_id:
        raise NotFound("task", task_id)
    statement = _whole().where(tasks.c.id == task_id, tasks.c.deleted == false(), *_seen_by(context))
    row: Row[Any] | None = (await connection.execute(statement)).one_or_none()
    if row is None:
        raise NotFound("task", task_id)
    return row


async def _marker(connection: AsyncConnection, context: Context, task_id: str) -> RowMapping:
    try:
        return (await _row(connection, context, task_id))._mapping  # noqa: SLF001 - public, in spite of its name
    except NotFound as error:
        raise Invalid(f"Invalid marker: task {task_id} could not be found") from error


def _seen_by(context: Context) -> tuple[ColumnElement[bool], ...]:
    return () if context.is_admin else (tasks.c.owner == _owner(context),)


def _owner(context: Context) -> str:
    """A task has one in any case; that of nobody's is empty."""
    return context.project_id or ""


def _column(name: str) -> ColumnElement[Any]:
    if name not in tasks.c:
        raise Invalid(f"A task has no {name}")
    return tasks.c[name]


def _task(row: Row[Any]) -> Task:
    values = dict(row._mapping)  # noqa: SLF001 - public, in spite of its name
    expires_at = values["expires_at"]
    return Task(
        id=values["id"],
        type=values["type"],
        owner=values["owner"],
        created_at=values["created_at"].replace(tzinfo=UTC),
        updated_at=(values["updated_at"] or values["created_at"]).replace(tzinfo=UTC),
        status=TaskStatus(values["status"]),
        expires_at=None if expires_at is None else expires_at.replace(tzinfo=UTC),
        image_id=values["image_id"],
        request_id=values["request_id"],
        user_id=values["user_id"],
        input=values.get("input"),
        result=values.get("result"),
        message=values.get("message") or "",
    )
