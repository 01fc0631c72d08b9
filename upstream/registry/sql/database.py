"""The ways to use a database: one statement, a snapshot to read from, a transaction to write in."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any, Self

from sqlalchemy import URL, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from upstream.errors import Unavailable
from upstream.registry.sql import sqlite
from upstream.registry.sql.failures import SERVICE, translated

STATEMENTS_MAX = 2  # connections for single statements: lookups run one batch at a time
TRANSACTIONS_MAX = 8
CONNECTION_WAIT_S = 10.0


class Database:
    """Two pools of connections. Safe to use from many tasks at once.

    Single statements have a pool of their own, whose connections commit by themselves: no BEGIN and no ROLLBACK, each
    of which costs as much as the statement.
    """

    def __init__(self, statements: AsyncEngine, transactions: AsyncEngine) -> None:
        self.dialect = transactions.dialect.name
        self.engines = (statements, transactions)
        self._statements = statements
        if self.dialect == "sqlite":
            # One writer at a time in this process, so that the wait inside SQLite is only ever for other processes.
            self._turn: AbstractAsyncContextManager[object] = asyncio.Lock()
            self._reader = transactions.execution_options(sqlite_begin=sqlite.READ)
            self._writer = transactions.execution_options(sqlite_begin=sqlite.WRITE)
        else:
            self._turn = nullcontext()
            self._reader = transactions.execution_options(isolation_level="REPEATABLE READ")
            # What a writer reads after it has locked the image must be what others committed before.
            self._writer = transactions.execution_options(isolation_level="READ COMMITTED")

    @classmethod
    @asynccontextmanager
    async def open(cls, url: URL) -> AsyncIterator[Self]:
        """Make the file if there is none, and disconnect in the end. Raises Unavailable."""
        # In a thread: SQLite's folder is made, and its dialect looks at the file system for the path.
        statements, transactions = await asyncio.to_thread(_engines, url)
        try:
            yield cls(statements, transactions)
        finally:
            await statements.dispose()
            await transactions.dispose()

    @asynccontextmanager
    async def statement(self) -> AsyncIterator[AsyncConnection]:
        """A connection for one reading statement; two would see two moments. Raises Unavailable, Invalid."""
        with translated():
            async with self._statements.connect() as connection:
                yield connection

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection whose statements all see the same moment. Raises Unavailable, Invalid."""
        with translated():
            async with self._reader.connect() as connection:
                yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """One transaction: committed in the end, rolled back on any exception and on cancellation.

        Raises Unavailable, Invalid, Conflict.
        """
        with translated():
            async with self._turn, self._writer.begin() as connection:
                yield connection

    async def check(self) -> None:
        """Raises Unavailable."""
        async with self.statement() as connection:
            await connection.execute(text("SELECT 1"))


def _engines(url: URL) -> tuple[AsyncEngine, AsyncEngine]:
    """For single statements and for transactions. Nothing is connected yet."""
    is_sqlite = url.get_backend_name() == "sqlite"
    if is_sqlite:
        try:
            sqlite.create_file(Path(url.database or ""))
        except OSError as error:
            raise Unavailable(SERVICE, f"{error.strerror}: {error.filename}") from error
    statements = _engine(url, STATEMENTS_MAX, isolation_level="AUTOCOMMIT", skip_autocommit_rollback=True)
    transactions = _engine(url, TRANSACTIONS_MAX)
    if is_sqlite:
        sqlite.set_up_connections(statements.sync_engine)
        sqlite.set_up_connections(transactions.sync_engine)
        sqlite.begin_explicitly(transactions.sync_engine)
    return statements, transactions


def _engine(url: URL, connections_max: int, **options: Any) -> AsyncEngine:
    return create_async_engine(
        url,
        pool_size=connections_max,
        max_overflow=0,
        pool_timeout=CONNECTION_WAIT_S,
        pool_pre_ping=url.get_backend_name() != "sqlite",  # a server restarts, a file does not
        hide_parameters=True,  # they hold URLs with credentials, and exceptions are logged
        **options,
    )
