"""The time by the clock of the database: the one that all hosts have in common, however wrong their own are."""

from datetime import datetime
from typing import Any

from sqlalchemy import DateTime, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class _UtcNow(FunctionElement[datetime]):
    type = DateTime()
    inherit_cache = True


@compiles(_UtcNow)  # SQLite's is in UTC
def _standard(*_: Any, **__: Any) -> str:
    return "CURRENT_TIMESTAMP"


@compiles(_UtcNow, "postgresql")
def _postgresql(*_: Any, **__: Any) -> str:
    return "clock_timestamp() AT TIME ZONE 'UTC'"  # the others stand still in a transaction


@compiles(_UtcNow, "mysql")
@compiles(_UtcNow, "mariadb")
def _mysql(*_: Any, **__: Any) -> str:
    return "UTC_TIMESTAMP()"


async def database_time(connection: AsyncConnection) -> datetime:
    """In whole seconds, which every database keeps as they are."""
    moment: datetime = (await connection.execute(select(_UtcNow()))).scalar_one()
    return moment.replace(microsecond=0)
