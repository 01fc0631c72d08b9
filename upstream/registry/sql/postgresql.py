"""What PostgreSQL's connections need, and are told: whether they still have a server, and what its workers cost."""

import time

from sqlalchemy import Engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

ASKED_AFTER_S = 1.0  # without use, a connection is asked whether its server is there before it is used again
WORKERS_COST = 10_000  # in PostgreSQL's units: a page of 8 KiB that is read in turn is 1

_USED = "glint_used"


def ask_idle_connections(engine: Engine) -> None:
    """A server restarts, and what lies between cuts idle connections off: then all are made anew.

    SQLAlchemy's own question before each use is one to three round trips, as many as a look-up itself takes. Its driver
    for PostgreSQL knows of a connection that was closed; the one for MariaDB does not, and goes on to be asked.
    """
    dialect = engine.dialect

    @event.listens_for(engine, "checkin")
    def _on_checkin(connection: DBAPIConnection | None, entry: ConnectionPoolEntry) -> None:
        if connection is not None:
            entry.info[_USED] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def _on_checkout(connection: DBAPIConnection, entry: ConnectionPoolEntry, proxied: PoolProxiedConnection) -> None:
        used, driver = entry.info.get(_USED), connection.driver_connection
        if used is None or (time.monotonic() - used < ASKED_AFTER_S and driver and not driver.is_closed()):
            return
        try:
            dialect.do_ping(connection)
        except (dialect.loaded_dbapi.Error, OSError) as error:
            raise InvalidatePoolError(f"{type(error).__name__} of a connection that was idle") from error


def weigh_workers(engine: Engine) -> None:
    """Tell PostgreSQL on each connection what its workers cost, who read a part of a table each.

    To start one takes as long as to read 100,000 properties; it believes a tenth of that. What hangs on 100,000 images
    is read by one process then, for half of what it costs three, and as soon.
    """

    @event.listens_for(engine, "connect")
    def _on_connect(connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        cursor.execute(f"SET parallel_setup_cost = {WORKERS_COST}")
        cursor.close()
        connection.commit()
