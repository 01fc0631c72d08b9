"""The ways to use a database: one statement, a snapshot to read from, a transaction to write in."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any, Self, TypeVar

from sqlalchemy import URL, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from upstream.errors import Unavailable
from upstream.registry.config import RegistryConfig
from upstream.registry.sql import postgresql, sqlite
from upstream.registry.sql.failures import SERVICE, translated
from upstream.registry.sql.reading import Script, run
from upstream.registry.sql.urls import with_driver

T = TypeVar("T")

STATEMENTS_MAX = 2  # connections for single statements: lookups run one batch at a time


class Database:
    """Two pools of connections. Safe to use from many tasks at once.

    Single statements have a pool of their own, whose connections commit by themselves: no BEGIN and no ROLLBACK, each
    of which costs as much as the statement.
    """

    def __init__(
        self,
        statements: AsyncEngine,
        transactions: AsyncEngine,
        statement_s: float,
        threads: sqlite.ReadingThreads | None = None,
    ) -> None:
        self.dialect = transactions.dialect.name
        self.sql_dialect = transactions.dialect
        self.threads = threads
        self.engines = (statements, transactions)
        self._statements, self._statement_s = statements, statement_s
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
    async def open(cls, config: RegistryConfig) -> AsyncIterator[Self]:
        """Make the file if there is none, and disconnect in the end. Raises RegistryMisconfigured, Unavailable."""
        # In a thread: SQLite's folder is made, and its dialect looks at the file system for the path.
        statements, transactions = await asyncio.to_thread(_engines, config)
        try:
            threads = sqlite.ReadingThreads(str(statements.url.database)) if _is_sqlite(statements.url) else None
            async with threads or nullcontext():
                yield cls(statements, transactions, config.statement_s, threads)
        finally:
            await statements.dispose()
            await transactions.dispose()

    async def ask(self, script: Script[T]) -> T:
        """What a reading script of one statement comes to; the statements of a longer one may see several moments.

        Raises Unavailable, Invalid, and what the script raises.
        """
        if self.threads is None:
            async with self.statement() as connection:
                return await run(connection, script)
        try:
            return await self.threads.run(script, within_s=self._statement_s)
        except Exception:
            with translated():  # entered for an error alone: it costs a look-up a fiftieth
                raise

    async def snapshot(self, script: Script[T]) -> T:
        """What a reading script comes to whose statements all see the same moment. Raises as `ask`."""
        if self.threads is None:
            async with self.read() as connection:
                return await run(connection, script)
        with translated():
            return await self.threads.run(script, within_s=self._statement_s, at_one_moment=True)

    @asynccontextmanager
    async def statement(self, *, within_s: float | None = None) -> AsyncIterator[AsyncConnection]:
        """A connection for one reading statement; two would see two moments. Each commits by itself.

        It ends within `registry.statement_s` unless another time is given. Raises Unavailable, Invalid.
        """
        with translated():
            async with asyncio.timeout(within_s or self._statement_s), self._statements.connect() as connection:
                yield connection

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection whose statements all see the same moment. Raises Unavailable, Invalid."""
        with translated():
            async with asyncio.timeout(self._statement_s), self._reader.connect() as connection:
                yield connection

    @asynccontextmanager
    async def write(self, *, within_s: float | None = None) -> AsyncIterator[AsyncConnection]:
        """One transaction: committed in the end, rolled back on any exception and on cancellation.

        It ends within `registry.statement_s` unless another time is given. Raises Unavailable, Invalid, Conflict.
        """
        with translated():
            async with self._turn, asyncio.timeout(within_s or self._statement_s), self._writer.begin() as connection:
                yield connection

    async def check(self) -> None:
        """Raises Unavailable."""
        async with self.statement() as connection:
            await connection.execute(text("SELECT 1"))


def _engines(config: RegistryConfig) -> tuple[AsyncEngine, AsyncEngine]:
    """For single statements and for transactions. Nothing is connected yet."""
    url = with_driver(config.url)
    is_sqlite = _is_sqlite(url)
    if is_sqlite:
        try:
            sqlite.create_file(Path(url.database or ""))
        except OSError as error:
            raise Unavailable(SERVICE, f"{error.strerror}: {error.filename}") from error
    statements_max = min(STATEMENTS_MAX, config.pool_max // 2)
    statements = _engine(url, config, statements_max, isolation_level="AUTOCOMMIT", skip_autocommit_rollback=True)
    transactions = _engine(url, config, config.pool_max - statements_max)
    for engine in (statements.sync_engine, transactions.sync_engine):
        if is_sqlite:
            sqlite.set_up_connections(engine)
        elif engine.dialect.name == "postgresql":
            postgresql.ask_idle_connections(engine)
            postgresql.weigh_workers(engine)
    if is_sqlite:
        sqlite.begin_explicitly(transactions.sync_engine)
    return statements, transactions


def _is_sqlite(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"


def _engine(url: URL, config: RegistryConfig, connections_max: int, **options: Any) -> AsyncEngine:
    backend = url.get_backend_name()
    return create_async_engine(
        url,
        connect_args=_CONNECT[backend](config.connect_s),
        pool_size=connections_max,
        max_overflow=0,
        pool_timeout=config.connect_s,
        pool_pre_ping=backend == "mysql",  # a server restarts, a file does not; PostgreSQL is asked elsewhere
        hide_parameters=True,  # they hold URLs with credentials, and exceptions are logged
        **options,
    )


# What drivers are told, by the time in which they must connect. MariaDB would cut too long a text in silence, were it
# not told to be strict; Glance tells it the same.
_CONNECT: Mapping[str, Callable[[float], Mapping[str, Any]]] = {
    "sqlite": lambda _: {},
    "postgresql": lambda connect_s: {"timeout": connect_s},
    "mysql": lambda connect_s: {"connect_timeout": connect_s, "sql_mode": "TRADITIONAL"},
}
