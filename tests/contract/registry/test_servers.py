"""Databases that are servers: they end and come back, undo one transaction for another, and know too long a text."""

import asyncio
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import QueuePool, select, text, update

from tests.contract.registry.world import OWNER, Servers, emptied, new_image
from tests.peers import MariaDB, PostgreSQL, Server
from upstream.errors import Invalid, Unavailable
from upstream.registry import ImageChanges, ImageQuery, RegistryConfig, open_registry
from upstream.registry.sql import SqlRegistry, postgresql
from upstream.registry.sql import open_registry as open_sql
from upstream.registry.sql.failures import LostRace, repeated
from upstream.registry.sql.postgresql import WORKERS_COST
from upstream.registry.sql.tables import image_tags, images

KINDS = ("postgresql", "mariadb")
T = TypeVar("T")


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
async def own(kind: str, tmp_path: Path) -> AsyncIterator[PostgreSQL | MariaDB]:
    """A server for this test alone, which may do it harm."""
    server = (
        PostgreSQL(tmp_path / "own")
        if kind == "postgresql"
        else MariaDB(tmp_path / "own", database="glance", charset="utf8mb3")
    )
    async with server:
        yield server


@pytest.fixture
async def shared(kind: str, servers: Servers) -> AsyncIterator[SqlRegistry]:
    url = servers.postgresql.url if kind == "postgresql" else servers.mariadb.url
    async with emptied(url) as registry:
        yield registry


async def eventually(call: Callable[[], Awaitable[T]]) -> T:
    """What it comes to when the server is as quick as the registry wants it, which a busy machine need not be."""
    async with asyncio.timeout(60):
        while True:
            with suppress(Unavailable):
                return await call()


async def test_a_server_that_ends_is_unavailable_and_works_again_when_it_is_back(own: PostgreSQL | MariaDB) -> None:
    async with open_registry(RegistryConfig(url=own.url, connect_s=30)) as registry:
        image = await registry.images.create(OWNER, new_image())
        await registry.images.list(OWNER, ImageQuery())
        for end in (own.kill, own.stop):
            await asyncio.to_thread(end)
            for call in (
                registry.images.get(OWNER, image.id),
                registry.images.list(OWNER, ImageQuery()),
                registry.images.update(OWNER, image.id, ImageChanges(columns={"name": "lost"})),
                registry.check(),
            ):
                with pytest.raises(Unavailable):
                    await call
            await asyncio.to_thread(own.start)
            assert await registry.images.get(OWNER, image.id) == image
            assert await registry.images.list(OWNER, ImageQuery()) == [image]
            image = await registry.images.update(OWNER, image.id, ImageChanges(columns={"name": "back"}))


async def test_a_server_that_does_not_answer_is_unavailable_in_time(own: Server) -> None:
    """Its sockets take what is sent; nothing comes back, neither to old connections nor to new ones."""
    assert isinstance(own, PostgreSQL | MariaDB)
    async with open_registry(RegistryConfig(url=own.url)) as patient:  # for the tables, which take a while
        image = await patient.images.create(OWNER, new_image())
    async with open_registry(RegistryConfig(url=own.url, connect_s=1, statement_s=1)) as registry:
        assert await eventually(lambda: registry.images.get(OWNER, image.id)) == image
        own.freeze()
        try:
            began_s = asyncio.get_running_loop().time()
            for call in (registry.images.get(OWNER, image.id), registry.images.delete(OWNER, image.id)):
                with pytest.raises(Unavailable):
                    await call
            assert asyncio.get_running_loop().time() - began_s < 12
        finally:
            own.thaw()
        assert await eventually(lambda: registry.images.get(OWNER, image.id)) == image


async def test_an_empty_database_gets_its_tables_once_from_many(own: PostgreSQL | MariaDB) -> None:
    async def make() -> None:
        async with open_registry(RegistryConfig(url=own.url)) as registry:
            await registry.check()

    await asyncio.gather(*(make() for _ in range(4)))
    assert await asyncio.to_thread(own.query, "SELECT version_num FROM alembic_version") == [["2024_1_contract01"]]


async def test_a_password_is_in_no_error(own: PostgreSQL | MariaDB) -> None:
    secret = "hidden-word"
    if isinstance(own, PostgreSQL):
        url = own.url.replace("glance@", f"nobody:{secret}@")
    else:
        url = own.url.replace("root@", f"nobody:{secret}@")
    config = RegistryConfig(url=url)
    assert secret not in repr(config)
    with pytest.raises(Unavailable) as raised:
        async with open_registry(config):
            pass
    assert secret not in "".join(traceback.format_exception(raised.value))


async def test_a_deadlock_is_run_again(shared: SqlRegistry) -> None:
    """Two take two images in opposite order, and each waits until the other has its first one."""
    first, second = [await shared.images.create(OWNER, new_image()) for _ in range(2)]
    meet = asyncio.Barrier(2)
    runs = 0

    @repeated
    async def take(one: str, other: str) -> None:
        nonlocal runs
        runs += 1
        async with shared.database.write() as connection:
            await connection.execute(update(images).where(images.c.id == one).values(min_disk=1))
            if runs <= 2:
                await meet.wait()
            await connection.execute(update(images).where(images.c.id == other).values(min_ram=1))

    async with asyncio.timeout(100):
        await asyncio.gather(take(first.id, second.id), take(second.id, first.id))
    assert runs == 3
    seen = [await shared.images.get(OWNER, each.id) for each in (first, second)]
    assert [(each.min_disk_gib, each.min_ram_mib) for each in seen] == [(1, 1)] * 2


async def test_what_is_undone_again_and_again_is_unavailable() -> None:
    runs = 0

    @repeated
    async def lose() -> None:
        nonlocal runs
        runs += 1
        raise LostRace("registry", "deadlock")

    with pytest.raises(Unavailable):
        await lose()
    assert runs == 8


async def test_a_text_that_a_column_cannot_hold_is_invalid_and_changes_nothing(shared: SqlRegistry) -> None:
    image = await shared.images.create(OWNER, new_image())
    with pytest.raises(Invalid):
        await shared.images.update(OWNER, image.id, ImageChanges(columns={"name": "x" * 256}))
    assert await shared.images.get(OWNER, image.id) == image


async def test_mariadb_refuses_letters_of_four_bytes_and_is_asked_for_them(servers: Servers) -> None:
    """Glance's tables are of MariaDB's old UTF-8. Asking for what cannot be there is no error."""
    async with emptied(servers.mariadb.url) as registry:
        image = await registry.images.create(OWNER, new_image(tags=("plain",)))
        with pytest.raises(Invalid):
            await registry.images.update(OWNER, image.id, ImageChanges(columns={"name": "🦆"}))
        assert await registry.images.list(OWNER, ImageQuery(tags=("🦆",))) == []


async def test_a_tag_that_differs_in_its_letters_case_stays_when_the_other_goes(shared: SqlRegistry) -> None:
    image = await shared.images.create(OWNER, new_image(tags=("a", "A")))
    await shared.tags.remove(OWNER, image.id, "a")
    assert (await shared.images.get(OWNER, image.id)).tags == ("A",)
    async with shared.database.read() as connection:
        rows = await connection.execute(select(image_tags.c.value).where(image_tags.c.image_id == image.id))
        assert len(rows.all()) == 2


async def test_all_connections_are_used_and_no_more(own: PostgreSQL | MariaDB) -> None:
    """`pool_max` is the sum of all; who finds none free waits `connect_s` at most."""
    async with open_sql(RegistryConfig(url=own.url, pool_max=3, connect_s=30)) as registry:
        for engine in registry.database.engines:
            pool = engine.sync_engine.pool
            assert isinstance(pool, QueuePool)
            assert pool.timeout() == 30
            pool._timeout = 0.3  # but a connection is made as late as a busy machine likes
        async with registry.database.write() as one, registry.database.read() as two:
            await one.execute(text("SELECT 1"))
            await two.execute(text("SELECT 1"))
            await registry.check()
            with pytest.raises(Unavailable, match="all connections"):
                await registry.images.create(OWNER, new_image())
        await registry.images.create(OWNER, new_image())


async def test_a_connection_to_postgresql_is_asked_before_use_when_it_was_idle_and_replaced_when_it_was_cut_off(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    async with emptied(servers.postgresql.url) as registry:
        image = await registry.images.create(OWNER, new_image())
        for engine in registry.database.engines:

            def noted(connection: object, ping: Callable[..., bool] = engine.dialect.do_ping) -> bool:
                asked.append(connection)
                return ping(connection)

            monkeypatch.setattr(engine.dialect, "do_ping", noted)
        monkeypatch.setattr(postgresql, "ASKED_AFTER_S", 3600.0)
        for _ in range(3):
            assert await registry.images.get(OWNER, image.id) == image
            assert await registry.images.list(OWNER, ImageQuery()) == [image]
        assert not asked
        monkeypatch.setattr(postgresql, "ASKED_AFTER_S", 0.0)
        cut_off = []
        for opened in (registry.database.statement(), registry.database.read()):
            async with opened as connection:
                cut_off.append(await connection.scalar(text("SELECT pg_backend_pid()")))
        async with open_sql(RegistryConfig(url=servers.postgresql.url)) as other, other.database.write() as connection:
            for number in cut_off:
                await connection.execute(text(f"SELECT pg_terminate_backend({number}, 60000)"))
        assert await registry.images.get(OWNER, image.id) == image
        assert await registry.images.list(OWNER, ImageQuery()) == [image]
        assert len(asked) >= 2


async def test_postgresql_is_told_what_a_worker_costs(servers: Servers) -> None:
    async with open_sql(RegistryConfig(url=servers.postgresql.url)) as registry:
        for opened in (registry.database.statement(), registry.database.read(), registry.database.write()):
            async with opened as connection:
                assert await connection.scalar(text("SHOW parallel_setup_cost")) == str(WORKERS_COST)
