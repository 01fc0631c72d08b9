"""What databases say, as what happened."""

import pytest
from asyncmy.errors import OperationalError
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi

from upstream.errors import Unavailable
from upstream.registry.sql.failures import translated


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(OperationalError(2013, "Lost connection to user@host"), id="asyncmy"),
        pytest.param(AsyncAdapt_asyncpg_dbapi.Error("closed, user@host"), id="asyncpg"),  # type: ignore[no-untyped-call]
    ],
)
def test_an_error_that_comes_bare_from_a_driver_is_an_outage(error: Exception) -> None:
    """SQLAlchemy sets up a connection outside of what it translates."""
    with pytest.raises(Unavailable) as raised, translated():
        raise error
    assert "host" not in str(raised.value)


def test_an_error_of_our_own_stays_what_it_is() -> None:
    with pytest.raises(KeyError), translated():
        raise KeyError("ours")
