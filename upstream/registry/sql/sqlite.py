"""What SQLite needs and the other databases do not: a private file, pragmas, explicit transactions."""

import os
from pathlib import Path

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

BUSY_TIMEOUT_MS = 10_000  # how long a writer waits for one in another process

PRAGMAS = (
    f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}",
    "PRAGMA journal_mode = WAL",  # readers never wait for a writer
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
