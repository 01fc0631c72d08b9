"""What is purged, and what stays: as `glance-manage` does it on another database with the same rows."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Table, func, select, update

from tests.contract.registry.places import Place, ask, rows
from tests.contract.registry.world import OWNER, World, new_image
from tests.peers.glance_manage import GlanceManage
from upstream.registry import ImageChanges, RegistryConfig
from upstream.registry.sql import Database, Purge, Purged
from upstream.registry.sql.migrations import initialise
from upstream.registry.sql.rows import now
from upstream.registry.sql.tables import (
    image_locations,
    image_members,
    image_properties,
    image_tags,
    images,
    task_info,
    tasks,
)

CHILDREN: Sequence[tuple[Table, dict[str, Any]]] = (
    (image_properties, {"name": "p", "value": "v"}),
    (image_tags, {"value": "t"}),
    (image_locations, {"value": "file:///x", "status": "deleted"}),
    (image_members, {"member": "m", "can_share": False, "status": "accepted"}),
)
AGES_DAYS = (1, 20, 40, 41, 42, 43, 200, 400)


def aged(days: float | None, moment: datetime) -> dict[str, Any]:
    """The times of a row that was deleted so many days ago, or of one that is there."""
    created = {"created_at": moment - timedelta(days=500), "updated_at": moment}
    gone = days is not None
    return created | {"deleted": gone, "deleted_at": moment - timedelta(days=days) if days is not None else None}


@asynccontextmanager
async def filled(url: str, moment: datetime) -> AsyncIterator[Database]:
    """Images and tasks, each with all that belongs to it: deleted at all ages, and one of each that is there."""
    plain = {"status": "deleted", "visibility": "private", "min_disk": 0, "min_ram": 0}
    async with Database.open(RegistryConfig(url=url)) as database:
        await initialise(database)
        async with database.write() as connection:
            # Seconds between the rows, so that which is the oldest is no question.
            for number, days in enumerate((*AGES_DAYS, None)):
                name, old = f"i{number}", days and days + number / 1000
                await connection.execute(images.insert().values({"id": name} | plain | aged(old, moment)))
                for table, values in CHILDREN:
                    await connection.execute(table.insert().values(values | {"image_id": name} | aged(old, moment)))
                task = {"id": name, "type": "import", "status": "success", "owner": "o"} | aged(old, moment)
                await connection.execute(tasks.insert().values(task))
                await connection.execute(task_info.insert().values(task_id=name, message=name))
            # Of an image that is there: what it had once.
            for number, days in enumerate((35, 60)):
                gone = {"name": f"once {number}", "value": "v", "image_id": f"i{len(AGES_DAYS)}"} | aged(days, moment)
                await connection.execute(image_properties.insert().values(gone))
        yield database


async def purge(
    database: Database, days: int, rows_max: int | None, *, of_images: bool = False, batch_max: int = 3
) -> list[Purged]:
    before = now() - timedelta(days=days)
    run = Purge(database, deleted_before=before, rows_max=rows_max, of_images=of_images, batch_max=batch_max)
    expected = await run.expected()
    steps = [step async for step in run.run()]
    sums = {name: sum(step.rows for step in steps if step.table == name) for name in expected}
    assert sums == expected
    return steps


RUNS = (("purge", 30, 2), ("purge", 30, -1), ("purge_images_table", 180, 1), ("purge_images_table", 30, -1))


async def test_glint_purges_what_glance_purges(place: Place, glance_manage: GlanceManage) -> None:
    moment = now()
    glances, ours = place(), place()
    async with filled(glances, moment), filled(ours, moment) as database:
        before = await ask(ours, rows)
        assert before == await ask(glances, rows)
        for command, days, most in RUNS:
            options = ("--age_in_days", str(days), "--max_rows", str(most))
            await asyncio.to_thread(glance_manage.done, glances, command, *options)
            await purge(database, days, None if most == -1 else most, of_images=command != "purge")
            after = await ask(ours, rows)
            assert after == await ask(glances, rows), (command, days, most)
            assert after != before
            before = after
        assert [row[0] for row in before["images"]] == ["i0", "i1", "i8"]
        assert len(before["image_properties"]) == len(before["task_info"]) == 3


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
async def test_images_stay_as_long_as_anything_belongs_to_them(place: Place, glance_manage: GlanceManage) -> None:
    """Glance gives up then, and purges none, not even those that nothing belongs to."""
    url = place()
    async with filled(url, now()) as database:
        ended = await asyncio.to_thread(
            glance_manage.run, url, "purge_images_table", "--age_in_days", "30", "--max_rows", "-1"
        )
        assert ended.exit_code == 1, ended.output
        run = Purge(database, deleted_before=now() - timedelta(days=30), rows_max=None, of_images=True)
        assert await run.expected() == {"images": 0}
        assert [step async for step in run.run()] == []
        assert await run.kept() == 6
        async with database.write() as connection:
            for table, _ in CHILDREN:
                await connection.execute(table.delete().where(table.c.image_id == "i7"))
        assert await purge(database, 30, None, of_images=True) == [Purged("images", 1)]
        assert await run.kept() == 5


async def test_a_batch_is_a_transaction_of_its_own_and_no_larger_than_it_may_be(world: World) -> None:
    """Who stops in between keeps what is done, and the next run goes on."""
    await world.fill(20)
    database = world.sql.database
    async with database.write() as connection:
        old = {"deleted": True, "deleted_at": now() - timedelta(days=100)}
        await connection.execute(update(image_properties).values(old))
    run = Purge(database, deleted_before=now() - timedelta(days=30), rows_max=None, batch_max=6)
    steps = run.run()
    assert [await anext(steps) for _ in range(2)] == [Purged("image_properties", 6)] * 2
    async with database.read() as connection:
        assert await connection.scalar(select(func.count()).select_from(image_properties)) == 28
    assert [step.rows async for step in run.run()] == [6, 6, 6, 6, 4]


@pytest.mark.parametrize("place", ["postgresql"], indirect=True)
async def test_what_was_given_back_to_life_stays_whatever_its_time_of_deletion(
    place: Place, glance_manage: GlanceManage
) -> None:
    """A Glance that sets a property again leaves the time there; its own purge removes the living row for that."""
    url = place()
    async with filled(url, now()) as database:
        async with database.write() as connection:
            await connection.execute(update(image_properties).values(deleted=False))
        assert {step.table for step in await purge(database, 30, None)} == {
            "image_tags",
            "image_locations",
            "image_members",
            "tasks",
        }
        assert len((await ask(url, rows))["image_properties"]) == 11
        await asyncio.to_thread(glance_manage.done, url, "purge", "--age_in_days", "30", "--max_rows", "-1")
        assert len((await ask(url, rows))["image_properties"]) == 3


async def test_what_is_set_again_while_it_is_purged_is_there(world: World) -> None:
    """Properties are set, and projects are members, again meanwhile, by users who know nothing of the purge."""
    names = [f"p{number}" for number in range(24)]
    registry, database = world.registry, world.sql.database
    image = await registry.images.create(OWNER, new_image(properties=dict.fromkeys(names, "old")))
    for name in names:
        await registry.members.add(OWNER, image.id, name, quota=-1)
        await registry.members.remove(OWNER, image.id, name)
    await registry.images.update(OWNER, image.id, ImageChanges(removed_properties=names))
    async with database.write() as connection:
        for table in (image_properties, image_members):
            await connection.execute(update(table).values(deleted_at=now() - timedelta(days=100)))

    async def set_again() -> None:
        for name in names[::2]:
            await registry.images.update(OWNER, image.id, ImageChanges(set_properties={name: "new"}))

    async def share_again() -> None:
        for name in names[::2]:
            await registry.members.add(OWNER, image.id, name, quota=-1)

    async def purge_all() -> None:
        run = Purge(database, deleted_before=now() - timedelta(days=30), rows_max=None, batch_max=1)
        async for _ in run.run():
            pass

    await asyncio.gather(set_again(), share_again(), purge_all(), purge_all())
    assert (await registry.images.get(OWNER, image.id)).properties == dict.fromkeys(names[::2], "new")
    assert {each.project_id for each in await registry.members.list(OWNER, image.id)} == set(names[::2])
    async with database.read() as connection:
        for table in (image_properties, image_members):
            assert await connection.scalar(select(func.count()).select_from(table)) == 12
