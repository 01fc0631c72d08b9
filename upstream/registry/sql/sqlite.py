"""What SQLite needs and the other databases do not: a private file, pragmas, explicit transactions."""

import asyncio
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple, Self, TypeVar

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from upstream.registry.sql.reading import Script, run_here

T = TypeVar("T")

BUSY_TIMEOUT_MS = 10_000  # how long a writer waits for one in another process

_JOURNAL = "PRAGMA journal_mode = WAL"  # readers never wait for a writer; the file remembers it
PRAGMAS = (
    f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}",
    _JOURNAL,
    # A client that was told its image is active has often deleted its own copy: the row must survive a power cut.
    # With NORMAL, a commit in the WAL is only on disk after the next checkpoint.
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
)

# An engine's option `sqlite_begin` says how its transactions start.
READ = "BEGIN"  # deferred: one snapshot for all its statements
WRITE = "BEGIN IMMEDIATE"  # takes the write lock first, so that nobody fails half way with a stale snapshot


def create_file(path: Path) -> None:
    """Make the file, readable by us alone, and the folder it lies in. Locations may hold credentials.

    SQLite gives its -wal and -shm files the mode of the database. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    with suppress(sqlite3.Error), closing(sqlite3.connect(path)) as database:  # who opens it next says what is wrong
        _keep_journal(database)


def _keep_journal(database: sqlite3.Connection) -> None:
    """Of several processes at once some are refused without the wait that others get. Raises sqlite3.Error."""
    until_s = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            database.execute(_JOURNAL)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until_s:
                raise
            time.sleep(0.01)
        else:
            return


def set_up_connections(engine: Engine) -> None:
    """Apply the pragmas to every connection."""

    @event.listens_for(engine, "connect")
    def _on_connect(connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        for pragma in PRAGMAS:
            cursor.execute(pragma)
        cursor.close()


def begin_explicitly(engine: Engine) -> None:
    """Turn the driver's own transactions off, which begin only before a write: a read would have no snapshot."""

    @event.listens_for(engine, "connect")
    def _on_connect(connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "invalidate")
    def _on_invalidate(
        connection: DBAPIConnection, entry: ConnectionPoolEntry, exception: BaseException | None
    ) -> None:
        # A cancelled writer's connection is closed, but SQLite keeps a closed connection, and its write lock, for as
        # long as one of its statements lives: here one that the traceback of the cancellation holds.
        connection.rollback()

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("sqlite_begin", READ))


class ReadingThreads:
    """Runs reading scripts, each in one visit to a thread; every thread has a connection of its own.

    One thread is for what a moment is asked of, the pages that may walk a whole table, and one for all else: no look-up
    waits for a page. More would only wait for each other, for Python's lock. An executor of concurrent.futures costs
    several times what a look-up does. Who leaves a script leaves it to its thread, which ends it: it changes nothing.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._pages: _Visits = SimpleQueue()
        self._others: _Visits = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._serve, args=(visits,), name=f"sqlite-{name}")
            for name, visits in (("pages", self._pages), ("others", self._others))
        ]
        self.watchers: list[Callable[[str], object]] = []  # are told each statement, in the thread

    async def run(self, script: Script[T], *, within_s: float, at_one_moment: bool = False) -> T:
        """Raises sqlite3.Error, what the script raises, and TimeoutError."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        visits = self._pages if at_one_moment else self._others
        visits.put(_Visit(loop, answer, script, at_one_moment))
        late = loop.call_later(within_s, _fail, answer, TimeoutError())
        try:
            return await answer
        finally:
            late.cancel()

    def _serve(self, visits: "_Visits") -> None:
        connection: sqlite3.Connection | None = None
        while (visit := visits.get()) is not None:
            settle: Callable[..., None]
            try:
                connection = connection or _connect(self._path)
                settle, outcome = _give, self._run(connection.cursor(), visit)
            except Exception as error:  # noqa: BLE001 - it is raised at who asked
                settle, outcome = _fail, error
            with suppress(RuntimeError):  # the loop has ended: nobody waits
                visit.loop.call_soon_threadsafe(settle, visit.answer, outcome)
            del visit, outcome  # not kept until the next visit
        if connection is not None:
            connection.close()

    def _run(self, cursor: sqlite3.Cursor, visit: "_Visit") -> Any:
        if not visit.at_one_moment:
            return run_here(cursor, visit.script, self.watchers)
        cursor.execute(READ)
        try:
            return run_here(cursor, visit.script, self.watchers)
        finally:
            cursor.execute("ROLLBACK")

    async def __aenter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, at: object) -> None:
        for visits in (self._pages, self._others):
            visits.put(None)
        await asyncio.to_thread(self._join)

    def _join(self) -> None:
        for thread in self._threads:
            thread.join()


class _Visit(NamedTuple):
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Any]
    script: Script[Any]
    at_one_moment: bool


_Visits = SimpleQueue[_Visit | None]


def _give(answer: asyncio.Future[T], value: T) -> None:
    if not answer.done():
        answer.set_result(value)


def _fail(answer: asyncio.Future[Any], error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)


def _connect(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in PRAGMAS:
        connection.execute(pragma)
    return connection
