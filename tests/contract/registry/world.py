"""The registries under test, and what a test must do behind their back: one line in `KINDS` is one more kind."""

import asyncio
import ssl
import unicodedata
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import event

from metrics import RegistryInstruments
from proxy.listening import address_of, bind, serving
from tests.peers import MariaDB, PostgreSQL
from tests.tables import sqlite_url
from upstream.registry import Registry, RegistryConfig
from upstream.registry import open_registry as open_any
from upstream.registry.service import build_service
from upstream.registry.sql import SqlRegistry, open_registry
from upstream.registry.sql.rows import now
from upstream.registry.sql.tables import (
    alembic_version,
    image_members,
    image_properties,
    image_tags,
    images,
    metadata,
)
from upstream.types import Context, Image, Status, Visibility


class Servers:
    """Those that a run of tests shares, each started when first wanted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stack = ExitStack()

    @cached_property
    def postgresql(self) -> PostgreSQL:
        return self._stack.enter_context(PostgreSQL(self.folder / "postgresql"))

    @cached_property
    def mariadb(self) -> MariaDB:
        return self._stack.enter_context(MariaDB(self.folder / "mariadb", database="glance", charset="utf8mb3"))

    def close(self) -> None:
        self._stack.close()


ADMIN = Context(user_id="root", project_id="admin", roles=frozenset({"admin"}), is_admin=True)
OWNER = Context(user_id="anna", project_id="owner", roles=frozenset({"member"}))
OTHER = Context(user_id="bert", project_id="other", roles=frozenset({"member"}))
NOBODY = Context()
KEY = "0123456789abcdef0123456789abcdef"
T0 = datetime(2026, 3, 1, 12, tzinfo=UTC)


def new_image(**fields: Any) -> Image:
    """An active private image of OWNER, with what the test cares about."""
    usual = {
        "id": str(uuid4()),
        "created_at": T0,
        "updated_at": T0,
        "owner": OWNER.project_id,
        "status": Status.ACTIVE,
        "visibility": Visibility.PRIVATE,
    }
    return Image(**{**usual, **fields})


@dataclass(frozen=True, slots=True)
class World:
    """A registry, and the database behind it.

    `tick` is what its columns tell two times apart by, `letters` what its order of texts makes of one, `together` how
    many statements 64 readers who come together may cost: fewer than they are, where connections let them in by and by.
    """

    registry: Registry
    sql: SqlRegistry
    tick: timedelta = timedelta(microseconds=1)
    letters: Callable[[str], str] = str
    together: int = 4

    async def later(self) -> None:
        """Wait until a time that is written is another one than before."""
        await asyncio.sleep(self.tick.total_seconds())

    async def share(self, image_id: str, project: str, status: str) -> None:
        """Make `project` a member of the image that answered `status`."""
        moment = now()
        async with self.sql.database.write() as connection:
            row = {"image_id": image_id, "member": project, "status": status, "can_share": False, "deleted": False}
            await connection.execute(image_members.insert(), [{**row, "created_at": moment, "updated_at": moment}])

    async def fill(self, count: int) -> None:
        """Rows that would take long one by one: `count` images of OWNER, made a second apart, each with two properties
        and a tag.
        """
        ids, moment = [str(uuid4()) for _ in range(count)], now()
        common = {"created_at": moment, "updated_at": moment, "deleted": False}
        rows = [
            {"id": each, "name": f"image {number}", "status": "active", "owner": OWNER.project_id, "size": number}
            | {"min_disk": 0, "min_ram": 0, "visibility": "private"}
            for number, each in enumerate(ids)
        ]
        properties = [{"image_id": each, "name": name, "value": name} for each in ids for name in ("os", "arch")]
        async with self.sql.database.write() as connection:
            later = [moment - timedelta(seconds=count - number) for number in range(count)]
            made = [row | common | {"created_at": at} for row, at in zip(rows, later, strict=True)]
            await connection.execute(images.insert(), made)
            await connection.execute(image_properties.insert(), [row | common for row in properties])
            await connection.execute(image_tags.insert(), [{"image_id": each, "value": "t"} | common for each in ids])

    @contextmanager
    def counted(self) -> Iterator[list[str]]:
        """The statements that reach the database meanwhile."""
        statements: list[str] = []

        def note(connection: object, cursor: object, statement: str, *_: object) -> None:
            statements.append(statement)

        for engine in self.sql.database.engines:
            event.listen(engine.sync_engine, "before_cursor_execute", note)
        threads = self.sql.database.threads
        if threads is not None:
            threads.watchers.append(statements.append)
        yield statements
        if threads is not None:
            threads.watchers.remove(statements.append)
        for engine in self.sql.database.engines:
            event.remove(engine.sync_engine, "before_cursor_execute", note)


def loosely(text: str) -> str:
    """What utf8mb3_general_ci, the collation of Glance's tables on MariaDB, compares."""
    return "".join(each for each in unicodedata.normalize("NFD", text.upper()) if not unicodedata.combining(each))


@asynccontextmanager
async def sqlite(folder: Path, servers: Servers) -> AsyncIterator[World]:
    async with open_registry(RegistryConfig(url=sqlite_url(folder / "registry.db"))) as registry:
        yield World(registry, registry)


@asynccontextmanager
async def remote(folder: Path, servers: Servers) -> AsyncIterator[World]:
    """SQLite, served by `glint registry serve`'s application on a socket."""
    url = f"sqlite:///{servers.folder}/served.db"
    async with emptied(url) as behind, service_of(behind) as config, open_any(config) as registry:
        yield World(registry, behind, together=63)


@asynccontextmanager
async def service_of(
    registry: Registry, *, keys: Sequence[str] = (KEY,), tls: ssl.SSLContext | None = None
) -> AsyncIterator[RegistryConfig]:
    """Serve it, and how to reach it."""
    app = build_service(registry, [key.encode() for key in keys], RegistryInstruments())
    listeners = await bind("127.0.0.1", 0, "registry.service")
    host, port = address_of(listeners)
    async with serving(app, listeners, drain_s=5, tls=tls):
        yield reached_at(f"{'https' if tls else 'http'}://{host}:{port}", key=keys[0])


def reached_at(url: str, *, key: str | Sequence[str] = KEY, ca_file: str | None = None) -> RegistryConfig:
    remote = {"url": url, "key": key, "ca_file": ca_file}
    return RegistryConfig.model_validate({"kind": "remote", "remote": remote})


@asynccontextmanager
async def postgresql(folder: Path, servers: Servers) -> AsyncIterator[World]:
    async with emptied(servers.postgresql.url) as registry:
        yield World(registry, registry)


@asynccontextmanager
async def mariadb(folder: Path, servers: Servers) -> AsyncIterator[World]:
    async with emptied(servers.mariadb.url) as registry:
        yield World(registry, registry, timedelta(seconds=1), loosely)


@asynccontextmanager
async def emptied(url: str) -> AsyncIterator[SqlRegistry]:
    """The tables are made once for all tests of a server, as that takes longer than the tests."""
    async with open_registry(RegistryConfig(url=url)) as registry:
        try:
            yield registry
        finally:
            async with registry.database.write() as connection:
                for table in reversed(metadata.sorted_tables):
                    if table is not alembic_version:
                        await connection.execute(table.delete())


KINDS: Mapping[str, Callable[[Path, Servers], AbstractAsyncContextManager[World]]] = {
    "sqlite": sqlite,
    "remote": remote,
    "postgresql": postgresql,
    "mariadb": mariadb,
}
