"""What SQLAlchemy has compiled for one registry, it uses for the next one: as in a service, where an engine stays.

Each test opens a registry of its own, and compiling its statements anew would take longer than all else it does. What
an engine learns of its server when it connects is shared too: so only engines of one database share it.
"""

from typing import Any

from sqlalchemy import URL, Dialect
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

_kept: dict[object, tuple[Dialect, Any]] = {}


def create_engine(url: URL, **options: Any) -> AsyncEngine:
    """In place of create_async_engine."""
    made = create_async_engine(url, **options)
    engine = made.sync_engine
    database = "SQLite" if url.get_backend_name() == "sqlite" else url  # the files differ in nothing of this
    key = database, options.get("isolation_level")
    dialect, compiled = _kept.get(key, (None, None))
    if dialect is not None and dialect.server_version_info is not None:  # or else nobody has connected yet
        engine.dialect, engine._compiled_cache = dialect, compiled
    else:
        _kept[key] = engine.dialect, engine._compiled_cache
    return made
