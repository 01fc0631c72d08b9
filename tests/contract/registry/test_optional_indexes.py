"""Indexes that an operator may add: used when they are there, missed by nobody, and none of a Glance's business."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy.exc import DBAPIError

from tests.contract.registry.places import PLACES, Place, ask, schema, tell
from tests.contract.registry.test_migrations import UP_TO_DATE, init
from tests.contract.registry.world import ADMIN, OWNER, T0, Servers
from tests.peers.glance_manage import GlanceManage
from upstream.errors import Conflict
from upstream.registry import Filter, ImageChanges, ImageQuery, Operator, RegistryConfig
from upstream.registry.sql import (
    OPTIONAL,
    Database,
    OptionalIndex,
    Presence,
    SqlRegistry,
    listing,
    open_registry,
    optional_indexes,
)
from upstream.registry.sql.listing import page
from upstream.registry.sql.optional_indexes import add, drop, present_optional_indexes
from upstream.registry.sql.reading import Rows, Script, run
from upstream.registry.sql.tables import image_properties, image_tags, images

Change = Callable[[Database], AsyncIterator[OptionalIndex]]

NAMES = [index.name for index in OPTIONAL]
PROPERTY, TAG, NAME = NAMES
COUNT = 3000  # more than are few: what all have is walked
LONG = "x" * 4000  # more than an index of the servers takes


def by_property(name: str, value: str) -> Filter:
    return Filter(field=name, operator=Operator.EQ, value=value, is_property=True)


QUERIES = {
    "a property that few have": (ImageQuery(limit=5, filters=(by_property("build", "7"),)), PROPERTY),
    "a value that is long": (ImageQuery(filters=(by_property("long", LONG + "1"),)), PROPERTY),
    "a property that nobody has": (ImageQuery(filters=(by_property("build", "none"),)), PROPERTY),
    "a property, by its letters": (ImageQuery(filters=(by_property("case", "Foo"),)), PROPERTY),
    "a property that all have": (ImageQuery(limit=10, filters=(by_property("os", "linux"),)), None),
    "a tag that few have": (ImageQuery(tags=("rare",)), TAG),
    "a name": (ImageQuery(filters=(Filter(field="name", operator=Operator.EQ, value="image 1234"),)), NAME),
    "a property and a tag": (ImageQuery(filters=(by_property("os", "linux"),), tags=("rare", "t")), TAG),
    "a property beyond all letters": (ImageQuery(filters=(by_property("build", "\0"),)), None),
}


async def fill(registry: SqlRegistry) -> None:
    numbers = range(COUNT)
    ids = [str(UUID(int=number)) for number in numbers]
    moment = T0.replace(tzinfo=None)
    common = {"created_at": moment, "updated_at": moment, "deleted": False}
    plain = common | {"status": "active", "owner": OWNER.project_id, "min_disk": 0, "min_ram": 0}
    said = [{"os": "linux", "build": str(number % 500)} for number in numbers]
    for number in numbers[:4]:
        said[number] |= {"long": f"{LONG}{number}", "case": ("foo", "Foo", "FOO", "f\u00f3o")[number]}
    rows = [
        {"image_id": each, "name": name, "value": value}
        for each, has in zip(ids, said, strict=True)
        for name, value in has.items()
    ]
    tags = [{"image_id": each, "value": "t"} for each in ids] + [
        {"image_id": each, "value": "rare"} for each in ids[7::900]
    ]
    async with registry.database.write() as connection:
        later = [moment + timedelta(seconds=number // 2) for number in numbers]
        await connection.execute(
            images.insert(),
            [
                plain | {"id": each, "name": f"image {number}", "visibility": "private", "created_at": later[number]}
                for number, each in enumerate(ids)
            ],
        )
        await connection.execute(image_properties.insert(), [row | common for row in rows])
        await connection.execute(image_tags.insert(), [row | common for row in tags])


async def answers(registry: SqlRegistry) -> dict[str, list[str]]:
    found = {}
    for name, (query, _) in QUERIES.items():
        for context in (ADMIN, OWNER):
            page = await registry.images.list(context, query)
            found[f"{name}, {context.project_id}"] = [image.id for image in page]
    return found


async def plan(url: str, query: ImageQuery) -> str:
    """How a page is found where a walk leads nowhere, in the words of the database."""
    async with Database.open(RegistryConfig(url=url)) as database, database.read() as connection:
        explain = "EXPLAIN QUERY PLAN" if database.dialect == "sqlite" else "EXPLAIN"
        return await run(connection, explained(page(database.sql_dialect, ADMIN, query), explain))


def explained(script: Script[object], explain: str) -> Script[str]:
    told: list[Rows] = []
    question = next(script)
    while True:
        told.append((yield question._replace(sql=f"{explain} {question.sql}", is_packed=False)))
        answer = yield question
        try:
            question = script.send(answer)
        except StopIteration:
            return str(told)


async def analyze(url: str) -> None:
    if url.startswith("mysql"):
        await tell(url, "ANALYZE TABLE images, image_properties, image_tags")
    else:
        await tell(url, "ANALYZE")


@pytest.mark.parametrize("place", ["sqlite", "postgresql", "mariadb"], indirect=True)
async def test_they_are_added_used_and_dropped_and_no_answer_changes(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "LEGS", (1, 2))
    url = place()
    async with open_registry(RegistryConfig(url=url)) as registry:
        await fill(registry)
        before = await answers(registry)
        assert [len(each) for each in before.values()] == [5, 5, 1, 1, 0, 0, 1, 1, 10, 10, 4, 4, 1, 1, 4, 4, 0, 0]
        for is_analyzed in (False, True):
            if is_analyzed:
                await analyze(url)
            assert [index.name async for index in add(registry.database)] == NAMES
            assert await answers(registry) == before
            for query, name in QUERIES.values():
                told = await plan(url, query)
                if name is not None and (is_analyzed or not url.startswith("postgresql")):
                    assert name in told
            assert [index async for index in add(registry.database)] == []
            assert [(each.presence, each.rows) for each in await optional_indexes(registry.database)] == [
                (Presence.PRESENT, 2 * COUNT + 8),
                (Presence.PRESENT, COUNT + 4),
                (Presence.PRESENT, COUNT),
            ]
            assert [index.name async for index in drop(registry.database)] == NAMES
            assert await answers(registry) == before
            assert "glint" not in "".join([await plan(url, query) for query, _ in QUERIES.values()])
            assert [index async for index in drop(registry.database)] == []


async def test_a_glance_takes_no_notice_and_dropped_they_leave_its_schema(
    place: Place, glance_manage: GlanceManage
) -> None:
    url = place()
    await init(url)
    wanted = await ask(url, schema)
    async with Database.open(RegistryConfig(url=url)) as database:
        assert [index.name async for index in add(database)] == NAMES
        for command in ("sync", "purge", "purge_images_table"):
            told = await asyncio.to_thread(glance_manage.done, url, command)
            assert command != "sync" or UP_TO_DATE in told
        assert [index.name async for index in drop(database)] == NAMES
    assert await ask(url, schema) == wanted


async def test_a_glance_upgrades_a_database_that_has_them(tmp_path: Path, glance_manage: GlanceManage) -> None:
    """On SQLite, where a revision may make a table anew; the ones to come are not known."""
    url = f"sqlite:///{tmp_path}/r.db"
    await asyncio.to_thread(glance_manage.done, url, "upgrade", "--version", "queens_contract01")
    async with Database.open(RegistryConfig(url=url)) as database:
        assert [index.name async for index in add(database)] == NAMES
        await asyncio.to_thread(glance_manage.done, url, "sync")
        assert set(await present_optional_indexes(database)) == set(NAMES)


@pytest.fixture
def postgresql(tmp_path: Path, servers: Servers) -> Place:
    return PLACES["postgresql"](tmp_path, servers)


@pytest.mark.parametrize("heal", [add, drop], ids=["add", "drop"])
async def test_what_a_build_left_that_broke_off_is_seen_and_made_anew_or_dropped(
    postgresql: Place, heal: Change
) -> None:
    url = postgresql()
    async with open_registry(RegistryConfig(url=url)) as registry:
        await fill(registry)
        async with registry.database.statement() as connection:
            with pytest.raises(DBAPIError, match="division by zero"):
                await connection.exec_driver_sql(f"CREATE INDEX CONCURRENTLY {NAME} ON images ((1 / min_disk))")
        assert await present_optional_indexes(registry.database) == {NAME: Presence.UNFINISHED}
        assert NAME in [index.name async for index in heal(registry.database)]
        wanted = dict.fromkeys(NAMES, Presence.PRESENT) if heal is add else {}
        assert await present_optional_indexes(registry.database) == wanted


async def until_it_is_built(database: Database) -> None:
    while (await present_optional_indexes(database)).get(PROPERTY) is not Presence.BUILDING:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.01)


async def test_a_service_goes_on_writing_while_they_are_added_and_a_second_who_adds_is_told(postgresql: Place) -> None:
    url = postgresql()
    async with open_registry(RegistryConfig(url=url)) as registry:
        await fill(registry)

        async def added() -> Sequence[str]:
            return [index.name async for index in add(registry.database)]

        async with asyncio.TaskGroup() as group, registry.database.write() as connection:
            # A build waits for whoever has written before it began.
            await connection.exec_driver_sql("UPDATE image_properties SET value = value WHERE id = 1")
            building = group.create_task(added())
            await until_it_is_built(registry.database)
            with pytest.raises(Conflict, match="Another process is adding or dropping"):
                await added()
            changes = ImageChanges(set_properties={"new": "1"})
            assert (await registry.images.update(OWNER, str(UUID(int=9)), changes)).properties["new"] == "1"
            assert not building.done()
        assert building.result() == NAMES
        (image,) = await registry.images.list(OWNER, ImageQuery(filters=(by_property("new", "1"),)))
        assert image.id == str(UUID(int=9))
