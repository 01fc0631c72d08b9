"""Where SQLAlchemy's exceptions become ours."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import exc

from upstream.errors import Conflict, Invalid, Unavailable

SERVICE = "registry"


@contextmanager
def translated() -> Iterator[None]:
    """Turn what a database says into what happened.

    A programming error (a missing table, wrong SQL) passes as it is: it is ours, and trying again does not help.
    """
    try:
        yield
    except exc.DataError as error:
        raise Invalid("A value does not fit into its column") from error
    except exc.IntegrityError as error:
        raise Conflict("The change contradicts another one that was made meanwhile") from error
    except exc.ProgrammingError:
        raise
    except exc.TimeoutError as error:
        raise Unavailable(SERVICE, "all connections are in use") from error
    except exc.DBAPIError as error:
        raise Unavailable(SERVICE, _reason(error)) from error
    except exc.StatementError as error:
        # Not even sent: a word that is no visibility, a text where a time belongs.
        raise Invalid("A value does not fit into its column") from error
    except (OSError, TimeoutError) as error:
        # Some drivers let the socket's own errors through.
        raise Unavailable(SERVICE, type(error).__name__) from error


def _reason(error: exc.DBAPIError) -> str:
    """SQLite's own words (`database or disk is full`); servers' words name accounts and hosts, so only their kind."""
    if type(error.orig).__module__ == "sqlite3":
        return str(error.orig)
    return type(error.orig).__name__
