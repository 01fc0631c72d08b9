"""From the URL an operator writes to the one SQLAlchemy opens. Pure."""

from collections.abc import Mapping
from importlib.util import find_spec

from sqlalchemy import URL
from sqlalchemy.engine import make_url

from upstream.registry.config import RegistryMisconfigured

# What operators write, the dialect's name, and the asynchronous driver, whose package has the same name.
DRIVERS: Mapping[str, tuple[str, str]] = {
    "sqlite": ("sqlite", "aiosqlite"),
    "postgresql": ("postgresql", "asyncpg"),
    "postgres": ("postgresql", "asyncpg"),
    "mysql": ("mysql", "asyncmy"),
    "mariadb": ("mysql", "asyncmy"),
}


def with_driver(url: str) -> URL:
    """The URL with the driver we use. Raises RegistryMisconfigured for a database we cannot speak to."""
    parsed = make_url(url)
    written = parsed.drivername.partition("+")[0]
    if written not in DRIVERS:
        raise RegistryMisconfigured(f"registry.url: expected a scheme among {', '.join(DRIVERS)}, got {written}://")
    dialect, driver = DRIVERS[written]
    if find_spec(driver) is None:
        raise RegistryMisconfigured(f"registry.url: {written}:// needs the package {driver}: pip install {driver}")
    if dialect == "sqlite" and parsed.database in {None, "", ":memory:"}:
        raise RegistryMisconfigured(
            "registry.url: a database in memory belongs to one connection and ends with it; name a file, "
            "such as sqlite:///var/registry.db"
        )
    if "sslmode" in parsed.query and dialect == "postgresql":
        # libpq's word, which operators know; the driver has its own for the same values.
        mode = parsed.query["sslmode"]
        parsed = parsed.difference_update_query(["sslmode"]).update_query_dict({"ssl": mode})
    if dialect == "mysql":
        # Older URLs say charset=utf8, by which MariaDB means three bytes a letter, and refuses questions with four.
        parsed = parsed.update_query_dict({"charset": "utf8mb4"})
    return parsed.set(drivername=f"{dialect}+{driver}")
