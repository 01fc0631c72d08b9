"""Rows of where image metadata are. Pure.

Source: oslo_db/options.py for the older names.
"""

from collections.abc import Iterator

from proxy.config_import.conf import DEFAULT
from proxy.config_import.options import INTEGER, NUMBER, Given, Option
from proxy.config_import.outcomes import Dropped, Failing, Mapped, Outcome
from proxy.config_import.rows import Import, Row, gone, same

SECTION = "database"
CONNECTION = Option(
    SECTION, "connection", older=((DEFAULT, "sql_connection"), (SECTION, "sql_connection"), ("sql", "connection"))
)
PARAMETERS = Option(SECTION, "connection_parameters", default="")
DATA_API = Option(DEFAULT, "data_api", default="glance.db.sqlalchemy.api")
REGISTRY = tuple(Option(DEFAULT, name) for name in ("registry_host", "registry_port"))
_RELATIVE_SQLITE = "sqlite:///"
_WAYS = (
    "name the database of the glance-registry in registry.url (kind sql), or run `glint registry serve` there and set "
    "registry.kind to remote"
)


def _registry(work: Import) -> Iterator[Outcome]:
    source = work.source
    connection, api = source.get(CONNECTION), source.get(DATA_API)
    is_remote = api is not None and "registry" in api.value
    if connection:
        yield Mapped(("registry", "kind"), "sql", connection.said)
        yield from _url(work, connection)
    elif is_remote and api:
        yield Failing(api.said, f"the registry of Glance is gone: {_WAYS}")
    else:
        yield Failing((), f"{CONNECTION} is not given: Glint would begin with an empty registry of its own")
    if api and (connection or not is_remote):
        yield Dropped(api.said, "Glint asks the database itself (registry.kind sql)")
    if (parameters := source.get(PARAMETERS)) and not connection:
        yield Dropped(parameters.said, f"nothing by itself: {CONNECTION} is not given")
    for option in REGISTRY:
        if given := source.get(option):
            here = "its images are those of registry.url" if connection else _WAYS
            yield Dropped(given.said, f"the registry of Glance is gone; {here}")


def _url(work: Import, connection: Given) -> Iterator[Outcome]:
    """A SQLite file by its whole path: Glance looks for others from the folder in which it was started."""
    url, said, parameters = connection.value, connection.said, work.source.get(PARAMETERS)
    file = url.removeprefix(_RELATIVE_SQLITE)
    if url.startswith(_RELATIVE_SQLITE) and not file.startswith("/"):
        found = work.beside.find(file)
        if found is None:
            yield Failing(said, "relative to the folder in which Glance was started: give the whole path")
            return
        url = f"{_RELATIVE_SQLITE}{found}"
    if parameters and parameters.value:
        url = f"{url}{'&' if '?' in url else '?'}{parameters.value}"
        said += parameters.said
    yield Mapped(("registry", "url"), url, said, secret="@" in url)


ROWS = (
    Row((CONNECTION, PARAMETERS, DATA_API, *REGISTRY), _registry),
    same(
        Option(
            SECTION,
            "max_pool_size",
            INTEGER,
            older=((DEFAULT, "sql_max_pool_size"), (SECTION, "sql_max_pool_size")),
            default="5",
        ),
        "registry.pool_max",
        lambda number: max(2, number),
    ),
    same(Option(SECTION, "pool_timeout", NUMBER, older=((SECTION, "sqlalchemy_pool_timeout"),)), "registry.connect_s"),
    gone("registry.pool_max is the limit, with nothing on top", (SECTION, "max_overflow"), (DEFAULT, "sql_max_o*")),
    gone("Glint has one kind of database interface", (SECTION, "backend"), (SECTION, "use_tpool")),
    gone("Glint reads and writes at one database", (SECTION, "*slave_connection"), (SECTION, "asyncio_connection")),
    gone(
        "Glint's own connections and transactions: see registry.connect_s and registry.statement_s",
        *((DEFAULT, name) for name in ("sql_*", "db_*", "sqlite_*")),
        *((section, "*") for section in (SECTION, "sql")),
    ),
    gone(
        "the registry of Glance is gone, and how to speak to it",
        *((DEFAULT, name) for name in ("registry_client_*", "enable_v2_registry", "use_user_token", "admin_user")),
        *((DEFAULT, name) for name in ("admin_password", "admin_tenant_name", "auth_url", "auth_strategy")),
        *((DEFAULT, name) for name in ("auth_region", "send_identity_headers")),
    ),
)
