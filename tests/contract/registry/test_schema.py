"""The tables are Glance's, as recorded from `glance-manage db sync`; whatever else is in the file is refused."""

import asyncio
import json
import sqlite3
import stat
import traceback
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import Connection, Inspector, inspect

from tests.contract.registry.world import OWNER, Servers, new_image, sqlite
from upstream.errors import Unavailable
from upstream.registry import ImageChanges, Registry, RegistryConfig, RegistryMisconfigured, open_registry
from upstream.registry.sql import SqlRegistry
from upstream.registry.sql import sqlite as sqlite_module
from upstream.types import Location

RECORDED = json.loads(Path(__file__).with_name("glance_schema.json").read_text(encoding="utf-8"))


def facts(inspector: Inspector, table: str) -> dict[str, Any]:
    """One table in the words of the recording."""
    key = inspector.get_pk_constraint(table)
    return {
        "columns": {
            each["name"]: {
                "type": str(each["type"]),
                "nullable": each["nullable"],
                "default": each["default"],
                "primary_key": each["primary_key"],
            }
            for each in cast("list[dict[str, Any]]", inspector.get_columns(table))
        },
        "primary_key": {"name": key["name"], "columns": key["constrained_columns"]},
        "indexes": {
            each["name"]: {"columns": each["column_names"], "unique": bool(each["unique"])}
            for each in inspector.get_indexes(table)
        },
        "unique": {each["name"]: each["column_names"] for each in inspector.get_unique_constraints(table)},
        "foreign_keys": sorted(
            [each["constrained_columns"], each["referred_table"], each["referred_columns"]]
            for each in inspector.get_foreign_keys(table)
        ),
        "checks": sorted(each["sqltext"] for each in inspector.get_check_constraints(table)),
    }


def open_file(path: Path) -> Any:
    return open_registry(RegistryConfig(url=f"sqlite:///{path}"))


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Registry]:
    async with open_file(path) as registry:
        yield registry


@contextmanager
def by_hand(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as connection:
        yield connection


async def test_every_table_is_as_glance_makes_it(tmp_path: Path) -> None:
    def look(connection: Connection) -> dict[str, Any]:
        inspector = inspect(connection)
        return {table: facts(inspector, table) for table in inspector.get_table_names()}

    async with sqlite(tmp_path, Servers(tmp_path)) as world, world.sql.database.read() as connection:
        tables = await connection.run_sync(look)
    assert sorted(tables) == sorted(RECORDED["tables"])
    for name, recorded in RECORDED["tables"].items():
        assert tables[name] == recorded, name


async def test_the_stamp_is_the_one_a_full_sync_leaves(tmp_path: Path) -> None:
    async with opened(tmp_path / "r.db"):
        pass
    with by_hand(tmp_path / "r.db") as connection:
        stamped = [row[0] for row in connection.execute("SELECT version_num FROM alembic_version")]
    assert stamped == RECORDED["alembic_version"]


async def test_what_was_written_is_there_after_opening_again(tmp_path: Path) -> None:
    async with opened(tmp_path / "r.db") as registry:
        image = await registry.images.create(OWNER, new_image(properties={"a": "1"}))
    async with opened(tmp_path / "r.db") as registry:
        assert await registry.images.get(OWNER, image.id) == image


async def test_both_forms_of_glances_stamp_are_accepted(tmp_path: Path) -> None:
    async with opened(tmp_path / "r.db"):
        pass
    with by_hand(tmp_path / "r.db") as connection:
        connection.execute("INSERT INTO alembic_version VALUES ('2024_1_expand01')")
    async with opened(tmp_path / "r.db") as registry:
        await registry.check()


@pytest.mark.parametrize("stamp", ["2023_1_contract01", "2024_1_expand01", "2031_2_contract01"])
async def test_a_database_of_another_version_is_refused_and_says_what_to_do(tmp_path: Path, stamp: str) -> None:
    path = tmp_path / "r.db"
    async with opened(path):
        pass
    with by_hand(path) as connection:
        connection.execute("DELETE FROM alembic_version")
        connection.executemany("INSERT INTO alembic_version VALUES (?)", [(stamp,)] if stamp else [])
    before = path.read_bytes()
    with pytest.raises(RegistryMisconfigured, match="glance-manage db sync") as refused:
        async with opened(path):
            pass
    assert stamp in str(refused.value)
    assert path.read_bytes() == before


@pytest.mark.parametrize("table", ["images", "tasks"])
async def test_tables_without_a_stamp_are_refused(tmp_path: Path, table: str) -> None:
    with by_hand(tmp_path / "r.db") as connection:
        connection.execute(f"CREATE TABLE {table} (id TEXT)")
    with pytest.raises(RegistryMisconfigured, match="glance-manage db sync"):
        async with opened(tmp_path / "r.db"):
            pass


async def test_the_file_and_its_folder_are_made_and_private(tmp_path: Path) -> None:
    """Locations may hold credentials: nobody else reads the file, nor the write-ahead log beside it."""
    path = tmp_path / "var" / "lib" / "registry.db"
    async with opened(path) as registry:
        await registry.images.create(OWNER, new_image())
        for each in (path, path.with_name("registry.db-wal"), path.with_name("registry.db-shm")):
            assert stat.S_IMODE(each.stat().st_mode) == 0o600, each.name


async def test_readers_do_not_wait_for_a_writer_and_commits_reach_the_disk(tmp_path: Path) -> None:
    async with sqlite(tmp_path, Servers(tmp_path)) as world:
        for use in (world.sql.database.read, world.sql.database.statement, world.sql.database.write):
            async with use() as connection:
                pragmas = {
                    name: (await connection.exec_driver_sql(f"PRAGMA {name}")).scalar()
                    for name in ("journal_mode", "synchronous", "foreign_keys")
                }
            assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


async def test_several_processes_may_make_the_tables_at_once(tmp_path: Path) -> None:
    """Each registry here has its own connections, as each worker process has."""

    async def make() -> None:
        async with opened(tmp_path / "r.db") as registry:
            await registry.check()

    await asyncio.gather(*(make() for _ in range(4)))


async def test_writers_of_two_processes_wait_for_each_other(tmp_path: Path) -> None:
    async with opened(tmp_path / "r.db") as one, opened(tmp_path / "r.db") as two:
        image = await one.images.create(OWNER, new_image())

        async def write(registry: Registry, number: int) -> None:
            await registry.images.update(OWNER, image.id, ImageChanges(set_properties={f"p{number}": "1"}))

        await asyncio.gather(*(write((one, two)[number % 2], number) for number in range(24)))
        assert len((await two.images.get(OWNER, image.id)).properties) == 24


async def test_a_lock_that_is_never_given_back_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_module, "PRAGMAS", (*sqlite_module.PRAGMAS, "PRAGMA busy_timeout = 50"))
    async with opened(tmp_path / "r.db") as registry:
        image = await registry.images.create(OWNER, new_image())
        with by_hand(tmp_path / "r.db") as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(Unavailable, match="locked"):
                await registry.images.update(OWNER, image.id, ImageChanges(columns={"name": "x"}))
            assert await registry.images.get(OWNER, image.id) == image
        await registry.images.update(OWNER, image.id, ImageChanges(columns={"name": "x"}))


async def test_a_full_disk_is_unavailable_and_changes_nothing(tmp_path: Path) -> None:
    """SQLite is told that the file may not grow, which it reports as it reports a full disk."""
    async with sqlite(tmp_path, Servers(tmp_path)) as world:
        image = await world.registry.images.create(OWNER, new_image())
        async with world.sql.database.write() as connection:
            await connection.exec_driver_sql("PRAGMA max_page_count = 1")
        huge = ImageChanges(columns={"name": "x"}, set_properties={"a": "x" * 2**20})
        with pytest.raises(Unavailable, match="full"):
            await world.registry.images.update(OWNER, image.id, huge)
        assert await world.registry.images.get(OWNER, image.id) == image
        async with world.sql.database.write() as connection:
            await connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
        await world.registry.images.update(OWNER, image.id, huge)


async def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "r.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(Unavailable, match="not a database"):
        async with opened(tmp_path / "r.db"):
            pass


async def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="registry"):
        async with opened(tmp_path / "file" / "r.db"):
            pass


async def test_an_error_tells_no_secret(tmp_path: Path) -> None:
    """A location's URL may hold a password: no exception on the way out repeats a parameter."""
    async with sqlite(tmp_path, Servers(tmp_path)) as world:
        assert isinstance(world.sql, SqlRegistry)
        async with world.sql.database.write() as connection:
            await connection.exec_driver_sql("DROP TABLE image_locations")
        broken = new_image(locations=(Location(url="http://anna:hidden-word@host/x"),))
        with pytest.raises(Exception, match="no such table") as raised:
            await world.registry.images.create(OWNER, broken)
        assert "hidden-word" not in "".join(traceback.format_exception(raised.value))
