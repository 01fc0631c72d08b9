"""Bring a database to the revision that is needed: made if it is empty, upgraded if it is older."""

import asyncio
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from upstream.registry.config import RegistryMisconfigured
from upstream.registry.sql.database import Database
from upstream.registry.sql.revisions import CONTRACT_HEAD, HEADS, MAKEABLE, Standing, State, advice
from upstream.registry.sql.schema import create, locked, look

UPGRADE_S = 3600.0  # an index over many rows takes its time
_FOLDER = Path(__file__).parent


async def initialise(database: Database) -> State:
    """How the database was before; now it is current.

    Raises RegistryMisconfigured if neither is possible, and Unavailable; SQLite and PostgreSQL are as before then, a
    MariaDB may have some of the steps behind it and goes on from there the next time.
    """
    revisions = await asyncio.to_thread(scripts)
    async with database.write(within_s=UPGRADE_S) as connection:
        return await connection.run_sync(_initialise, revisions)


def _initialise(connection: Connection, revisions: ScriptDirectory) -> State:
    with locked(connection):
        state = look(connection)
        if state.standing in MAKEABLE:
            create(connection, state)
        elif state.standing is Standing.OLDER:
            _upgrade(connection, revisions)
            assert look(connection).standing is Standing.CURRENT
        elif state.standing is not Standing.CURRENT:
            raise RegistryMisconfigured(f"registry.url: {advice(state)}.")
        return state


def scripts() -> ScriptDirectory:
    """All revisions, read from their files."""
    revisions = ScriptDirectory(_FOLDER, version_locations=[_FOLDER / "versions"])
    assert HEADS.issuperset(revisions.get_heads())
    return revisions


def _upgrade(connection: Connection, revisions: ScriptDirectory) -> None:
    """From any of them, or pair of them, in the transaction of the caller where DDL has one."""

    def steps(revision: Any, context: object) -> Any:
        return revisions._upgrade_revs(CONTRACT_HEAD, revision)  # noqa: SLF001 - as alembic's own command does

    with EnvironmentContext(Config(), revisions, fn=steps) as environment:
        environment.configure(connection=connection)
        environment.run_migrations()
