"""Where SQLAlchemy's exceptions become ours: the one place that knows in whose words databases fail."""

import asyncio
import random
import sqlite3
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from sqlalchemy import exc

from upstream.errors import Conflict, Invalid, Unavailable

SERVICE = "registry"

ATTEMPTS_MAX = 8
FIRST_PAUSE_S = 0.005  # doubled each time, and drawn by lot: who collided must not collide again

P = ParamSpec("P")
T = TypeVar("T")

Method = Callable[P, Coroutine[Any, Any, T]]

# SQLSTATE of PostgreSQL, numbers of MariaDB and MySQL. The other classes of PostgreSQL's begin with these two letters.
_LOST_RACES = frozenset({"40001", "40P01", 1205, 1213, 1020})
_DRIVERS = ("asyncmy.", "asyncpg.", "sqlalchemy.dialects.")
_BAD_VALUE_CLASS = "22"
_BAD_VALUES = frozenset({1264, 1265, 1267, 1292, 1300, 1366, 1406})


class LostRace(Unavailable):
    """The database undid the whole transaction for the sake of another one: a deadlock. It may be run again."""


class LostConnection(Unavailable):
    """The connection had ended; whether the last statement was carried out is not known."""


@contextmanager
def translated() -> Iterator[None]:
    """Turn what a database says into what happened.

    A programming error (a missing table, wrong SQL) passes as it is: it is ours, and trying again does not help.
    """
    try:
        yield
    except exc.TimeoutError as error:
        raise Unavailable(SERVICE, "all connections are in use") from error
    except exc.DBAPIError as error:
        if isinstance(error, exc.ProgrammingError) and not error.connection_invalidated:
            raise
        raise _named(error) from error
    except exc.StatementError as error:
        # Not even sent: a word that is no visibility, a text where a time belongs.
        raise Invalid("A value does not fit into its column") from error
    except sqlite3.Error as error:
        raise Unavailable(SERVICE, str(error)) from error
    except TimeoutError as error:
        raise Unavailable(SERVICE, "the database does not answer") from error
    except OSError as error:
        # Some drivers let the socket's own errors through.
        raise Unavailable(SERVICE, type(error).__name__) from error
    except Exception as error:
        # While a connection is made ready for use, SQLAlchemy lets the driver's errors through: nothing was asked yet.
        if type(error).__module__.startswith(_DRIVERS):
            raise Unavailable(SERVICE, type(error).__name__) from error
        raise


def repeated(method: Method[P, T]) -> Method[P, T]:
    """For a method that is one transaction: run it again when the database undid it for another one's sake.

    Nothing of it has happened then. Raises what the last attempt raised.
    """

    @wraps(method)
    async def repeating(*args: P.args, **kwargs: P.kwargs) -> T:
        for attempt in range(1, ATTEMPTS_MAX):
            try:
                return await method(*args, **kwargs)
            except LostRace:
                await asyncio.sleep(random.uniform(0, FIRST_PAUSE_S * 2**attempt))  # noqa: S311 - nothing to guess
        return await method(*args, **kwargs)

    return repeating


def _named(error: exc.DBAPIError) -> Exception:
    code = _code(error)
    if error.connection_invalidated:
        return LostConnection(SERVICE, _reason(error))
    if code in _LOST_RACES:
        return LostRace(SERVICE, _reason(error))
    if isinstance(error, exc.DataError) or code in _BAD_VALUES or str(code).startswith(_BAD_VALUE_CLASS):
        return Invalid("A value does not fit into its column")
    if isinstance(error, exc.IntegrityError):
        return Conflict("The change contradicts another one that was made meanwhile")
    return Unavailable(SERVICE, _reason(error))


def _code(error: exc.DBAPIError) -> str | int | None:
    """SQLSTATE, or the number that MariaDB gives; None if the database gave neither."""
    first = next(iter(getattr(error.orig, "args", ())), None)
    if isinstance(first, int):
        return first
    state = getattr(error.orig, "sqlstate", None)
    return state if isinstance(state, str) else None


def _reason(error: exc.DBAPIError) -> str:
    """SQLite's own words (`database or disk is full`); servers' words name accounts and hosts, so only their kind."""
    if type(error.orig).__module__ == "sqlite3":
        return str(error.orig)
    name, code = type(error.orig).__name__, _code(error)
    return name if code is None else f"{name} {code}"
