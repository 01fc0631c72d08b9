"""Locations whose data are to be deleted: who finds them, who gets them, and images that come back before that."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Table, select, update

from tests.contract.registry.world import OWNER, World, new_image
from upstream.errors import Conflict, NotFound
from upstream.registry import IMPORT_LOCK, LEFTOVER, DueLocation, DueQuery, ImageChanges
from upstream.registry.sql.tables import image_locations, image_members, image_properties, image_tags, images
from upstream.types import Image, Location, Status

PLACES = (Location(url="file:///a", metadata={"store": "a"}), Location(url="file:///b", metadata={"store": "b"}))
UNHEARD_S = 3600.0


async def _left(world: World, *, age: timedelta, **fields: Any) -> Image:
    """An image with two locations, the second of which somebody has been deleting for so long."""
    image = await world.registry.images.create(OWNER, new_image(locations=PLACES, **fields))
    kept, leaving = image.locations
    changes = ImageChanges(locations=(kept, replace(leaving, status=Status.PENDING_DELETE)))
    await world.registry.images.update(OWNER, image.id, changes)
    moment = datetime.now(UTC).replace(tzinfo=None) - age
    async with world.sql.database.write() as connection:
        row = update(image_locations).where(image_locations.c.id == leaving.id)
        times = {"deleted_at": moment - timedelta(seconds=1), "updated_at": moment}
        await connection.execute(row.values(times))
    return image


async def _deleted(world: World, **fields: Any) -> Image:
    """An image whose deletion is delayed."""
    image = await world.registry.images.create(OWNER, new_image(locations=PLACES, **fields))
    return await world.registry.images.delete(OWNER, image.id, delayed=True)


async def _due(world: World, **conditions: Any) -> Sequence[DueLocation]:
    moment = datetime.now(UTC)
    query = {"deleted_before": moment + timedelta(seconds=2), "unheard_s": UNHEARD_S}
    return await world.registry.locations.due(DueQuery(**{**query, **conditions}))


async def _claim(world: World, found: DueLocation, unheard_s: float = UNHEARD_S) -> datetime:
    return await world.registry.locations.claim(found.image_id, found.location.id or 0, unheard_s)


async def _rows(world: World, table: Table, image_id: str) -> Sequence[Any]:
    key = table.c.id if table is images else table.c.image_id
    async with world.sql.database.statement() as connection:
        return (await connection.execute(select(table).where(key == image_id).order_by(table.c.id))).all()


async def test_a_location_that_nobody_finished_is_found_after_some_time(world: World) -> None:
    image = await _left(world, age=timedelta(hours=2), size_bytes=7)
    await _left(world, age=timedelta(minutes=30))
    (found,) = await _due(world)
    leaving = replace(image.locations[1], status=Status.PENDING_DELETE)
    assert found == DueLocation(image_id=image.id, location=leaving, size_bytes=7)
    await world.registry.locations.settle(image.id, image.locations[1].id or 0, Status.ACTIVE)
    assert await _due(world) == []
    assert (await world.registry.images.get(OWNER, image.id)).locations == image.locations


async def test_of_many_who_claim_a_location_one_gets_it(world: World) -> None:
    await _deleted(world)
    found = (await _due(world, of_pending_images=True))[0]
    outcomes = await asyncio.gather(*(_claim(world, found) for _ in range(8)), return_exceptions=True)
    assert sorted(type(each).__name__ for each in outcomes) == ["Conflict"] * 7 + ["datetime"]
    assert found not in await _due(world, of_pending_images=True)
    location_id = found.location.id or 0
    await world.registry.locations.settle(found.image_id, location_id, Status.PENDING_DELETE)
    await _claim(world, found)  # anybody may again
    await world.registry.locations.settle(found.image_id, location_id, Status.DELETED)
    with pytest.raises(NotFound):
        await world.registry.locations.settle(found.image_id, location_id, Status.DELETED)
    with pytest.raises(Conflict):
        await _claim(world, found)


async def test_a_claim_is_nobodys_when_nothing_was_heard_of_it_for_long(world: World) -> None:
    await _deleted(world)
    found = (await _due(world, of_pending_images=True))[0]
    await _claim(world, found)
    await _claim(world, found, -UNHEARD_S)


async def test_a_claim_that_is_renewed_stays_its_holders_and_one_that_was_lost_changes_nothing(world: World) -> None:
    locations = world.registry.locations
    image = await _left(world, age=timedelta(seconds=UNHEARD_S * 2))
    (found,) = await _due(world)
    location_id = found.location.id or 0
    claimed_at = await locations.renew(image.id, location_id)  # whoever's it was: now it is heard of
    assert (await _due(world), datetime.now(UTC) - claimed_at < timedelta(minutes=1)) == ([], True)
    assert await locations.renew(image.id, location_id, claimed_at) >= claimed_at
    (before,) = [each for each in await _rows(world, image_locations, image.id) if each.id == location_id]
    for lost in (
        locations.renew(image.id, location_id, claimed_at - timedelta(seconds=1)),
        locations.settle(image.id, location_id, Status.PENDING_DELETE, claimed_at - timedelta(seconds=1)),
        locations.settle(image.id, location_id, Status.DELETED, claimed_at - timedelta(seconds=1)),
    ):
        with pytest.raises(Conflict):
            await lost
    assert before in await _rows(world, image_locations, image.id)
    await locations.settle(image.id, location_id, Status.DELETED, await locations.renew(image.id, location_id))
    with pytest.raises(Conflict):
        await locations.renew(image.id, location_id)


async def test_a_delayed_deletion_leaves_the_rows_that_glance_leaves(world: World) -> None:
    image = await _deleted(world, properties={"a": "b"}, tags=("t",))
    with pytest.raises(NotFound):
        await world.registry.images.get(OWNER, image.id)
    (row,) = await _rows(world, images, image.id)
    assert (row.status, row.deleted) == ("pending_delete", True)
    rows = await _rows(world, image_locations, image.id)
    assert [(each.status, each.deleted) for each in rows] == [("pending_delete", True)] * 2
    assert all(each.deleted_at == each.updated_at == row.deleted_at for each in rows)
    assert [each.deleted for each in await _rows(world, image_properties, image.id)] == [True]
    assert [each.deleted for each in await _rows(world, image_tags, image.id)] == [True]


async def test_an_image_without_data_is_deleted_at_once(world: World) -> None:
    image = await world.registry.images.create(OWNER, new_image(status=Status.QUEUED))
    await world.registry.images.delete(OWNER, image.id, delayed=True)
    assert (await _rows(world, images, image.id))[0].status == "deleted"


async def test_images_that_wait_are_found_when_their_time_has_come_and_by_those_who_ask_for_them(world: World) -> None:
    image = await _deleted(world)
    assert await _due(world) == []
    assert await _due(world, of_pending_images=True, deleted_before=datetime.now(UTC) - timedelta(minutes=1)) == []
    first = await _due(world, of_pending_images=True, limit=1)
    rest = await _due(world, of_pending_images=True, after=first[0].location.id)
    assert [each.location.url for each in (*first, *rest)] == [place.url for place in PLACES]
    assert {each.image_id for each in (*first, *rest)} == {image.id}


async def test_with_its_last_location_an_image_is_deleted(world: World) -> None:
    image = await _deleted(world)
    for number, found in enumerate(await _due(world, of_pending_images=True), start=1):
        await _claim(world, found)
        await world.registry.locations.settle(image.id, found.location.id or 0, Status.DELETED)
        assert (await _rows(world, images, image.id))[0].status == ("deleted" if number == 2 else "pending_delete")


async def test_an_image_that_waits_for_nothing_more_is_deleted(world: World) -> None:
    image, other = await _deleted(world), await _deleted(world)
    async with world.sql.database.write() as connection:
        rows = update(image_locations).where(image_locations.c.image_id == image.id)
        await connection.execute(rows.values(status="deleted"))
    assert await world.registry.locations.close_images(datetime.now(UTC) + timedelta(seconds=2)) == 1
    assert (await _rows(world, images, image.id))[0].status == "deleted"
    assert (await _rows(world, images, other.id))[0].status == "pending_delete"


async def test_what_a_failure_leaves_is_found_unless_somebody_writes_to_the_image(world: World) -> None:
    image = await world.registry.images.create(OWNER, new_image(status=Status.QUEUED))
    place = Location(url=LEFTOVER, metadata={"store": "a"})
    (row_id,) = await world.registry.locations.leave(image.id, [place])
    found = DueLocation(image_id=image.id, location=replace(place, id=row_id, status=Status.PENDING_DELETE))
    assert await _due(world) == [found]
    assert (await world.registry.images.get(OWNER, image.id)).locations == ()
    saving = ImageChanges(columns={"status": Status.SAVING})
    await world.registry.images.update(OWNER, image.id, saving)
    assert await _due(world) == []
    assert await _due(world, image_id=image.id) == [found]
    await world.registry.images.delete(OWNER, image.id)
    assert await _due(world) == [found]
    with pytest.raises(NotFound):
        await world.registry.locations.leave("nothing", [place])


async def test_an_image_under_an_import_is_left_alone(world: World) -> None:
    image = await _left(world, age=timedelta(hours=2), properties={IMPORT_LOCK: "task"})
    assert await _due(world) == []
    await world.registry.images.update(OWNER, image.id, ImageChanges(removed_properties=(IMPORT_LOCK,)))
    assert len(await _due(world)) == 1


async def test_locations_that_are_left_to_others_wait_when_their_image_is_deleted(world: World) -> None:
    image = await world.registry.images.create(OWNER, new_image(locations=PLACES))
    await world.registry.images.delete(OWNER, image.id, left=[image.locations[1].id or 0])
    rows = await _rows(world, image_locations, image.id)
    assert [(each.status, each.deleted) for each in rows] == [("deleted", True), ("pending_delete", True)]
    assert (await _rows(world, images, image.id))[0].status == "deleted"
    assert [each.location.url for each in await _due(world)] == ["file:///b"]


async def test_a_restored_image_is_what_it_was(world: World) -> None:
    made = await world.registry.images.create(
        OWNER, new_image(locations=PLACES, properties={"a": "b", "gone": "x"}, tags=("t", "u"), size_bytes=5, name="n")
    )
    await world.share(made.id, "friend", "accepted")
    before = await world.registry.images.update(
        OWNER, made.id, ImageChanges(removed_properties=("gone",), tags=("t",), set_properties={IMPORT_LOCK: "x"})
    )
    await asyncio.sleep(max(1.1 if world.tick >= timedelta(seconds=1) else 0.0, world.tick.total_seconds()))
    await world.registry.images.delete(OWNER, made.id, delayed=True)
    pending = await world.registry.locations.pending(made.id, UNHEARD_S)
    assert (pending.id, pending.name, pending.size_bytes) == (made.id, "n", 5)
    assert [place.url for place in pending.locations] == [place.url for place in PLACES]
    await world.registry.locations.restore(made.id, UNHEARD_S)
    after = await world.registry.images.get(OWNER, made.id)
    properties = {"a": "b"}
    assert after == replace(before, updated_at=after.updated_at, properties=properties)
    assert [each.deleted for each in await _rows(world, image_members, made.id)] == [False]
    (row,) = await _rows(world, images, made.id)
    assert (row.deleted, row.deleted_at) == (False, None)
    assert await _due(world, of_pending_images=True) == []


async def test_an_image_that_cannot_be_whole_again_is_not_restored(world: World) -> None:
    alive = await world.registry.images.create(OWNER, new_image(locations=PLACES))
    claimed, partly = await _deleted(world), await _deleted(world)
    due = await _due(world, of_pending_images=True)
    first = {found.image_id: found for found in reversed(due)}
    await _claim(world, first[claimed.id])
    await _claim(world, first[partly.id])
    await world.registry.locations.settle(partly.id, first[partly.id].location.id or 0, Status.DELETED)
    for image, reason in ((alive, "is active"), (claimed, "right now"), (partly, "deleted already")):
        with pytest.raises(Conflict, match=reason):
            await world.registry.locations.restore(image.id, UNHEARD_S)
    with pytest.raises(NotFound):
        await world.registry.locations.restore("nothing", UNHEARD_S)
    assert (await _rows(world, images, claimed.id))[0].status == "pending_delete"


async def test_of_a_scrub_and_a_restore_at_once_one_has_its_way(world: World) -> None:
    for _ in range(6):
        image = await _deleted(world)
        found = [each for each in await _due(world, of_pending_images=True) if each.image_id == image.id]
        outcomes = await asyncio.gather(
            _claim(world, found[1]), world.registry.locations.restore(image.id, UNHEARD_S), return_exceptions=True
        )
        assert [type(each) for each in outcomes].count(Conflict) == 1
        (row,) = await _rows(world, images, image.id)
        assert row.status == ("active" if isinstance(outcomes[0], Conflict) else "pending_delete")


async def test_an_image_that_glance_restored_keeps_its_data_and_can_be_restored_whole(world: World) -> None:
    """Glance's own restoring leaves all locations as they are, so that nobody sees the data any more."""
    image = await _deleted(world)
    async with world.sql.database.write() as connection:
        await connection.execute(update(images).where(images.c.id == image.id).values(status="active", deleted=False))
    assert await _due(world, of_pending_images=True) == []
    await world.registry.locations.restore(image.id, UNHEARD_S)
    assert len((await world.registry.images.get(OWNER, image.id)).locations) == 2
