"""Locations whose data somebody was about to delete, and was not heard of since."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from tests.contract.registry.world import OWNER, World, new_image
from upstream.errors import Conflict, NotFound
from upstream.registry import AbandonedLocation, ImageChanges
from upstream.registry.sql.tables import image_locations, images
from upstream.types import Image, Location, Status

PLACES = (Location(url="file:///a", metadata={"store": "a"}), Location(url="file:///b", metadata={"store": "b"}))


async def _left(world: World, *, age: timedelta) -> Image:
    """An image with two locations, the second of which has been `pending_delete` for so long."""
    image = await world.registry.images.create(OWNER, new_image(locations=PLACES))
    kept, leaving = image.locations
    changes = ImageChanges(locations=(kept, replace(leaving, status=Status.PENDING_DELETE)))
    await world.registry.images.update(OWNER, image.id, changes)
    moment = datetime.now(UTC).replace(tzinfo=None) - age
    async with world.sql.database.write() as connection:
        row = update(image_locations).where(image_locations.c.id == leaving.id)
        await connection.execute(row.values(updated_at=moment))
    return image


async def _abandoned(world: World) -> Sequence[AbandonedLocation]:
    return await world.registry.locations.abandoned(datetime.now(UTC) - timedelta(hours=1), 10)


async def test_a_location_that_nobody_finished_is_found_after_some_time(world: World) -> None:
    image = await _left(world, age=timedelta(hours=2))
    await _left(world, age=timedelta(minutes=30))
    (found,) = await _abandoned(world)
    assert found == AbandonedLocation(
        image_id=image.id, location=replace(image.locations[1], status=Status.PENDING_DELETE)
    )
    await world.registry.locations.settle(image.id, image.locations[1].id or 0, Status.ACTIVE)
    assert await _abandoned(world) == []
    assert (await world.registry.images.get(OWNER, image.id)).locations == image.locations


async def test_of_many_who_adopt_a_location_one_gets_it(world: World) -> None:
    image = await _left(world, age=timedelta(hours=2))
    before = datetime.now(UTC) - timedelta(hours=1)
    location_id = image.locations[1].id or 0
    adoptions = [world.registry.locations.adopt(image.id, location_id, before) for _ in range(8)]
    outcomes = await asyncio.gather(*adoptions, return_exceptions=True)
    assert sorted(type(each).__name__ for each in outcomes) == ["Conflict"] * 7 + ["NoneType"]
    assert await _abandoned(world) == []
    await world.registry.locations.settle(image.id, location_id, Status.DELETED)
    with pytest.raises(NotFound):
        await world.registry.locations.settle(image.id, location_id, Status.DELETED)
    with pytest.raises(Conflict):
        await world.registry.locations.adopt(image.id, location_id, datetime.now(UTC) + timedelta(hours=1))


async def test_locations_of_a_deleted_image_are_found_and_those_that_glance_scrubs_are_not(world: World) -> None:
    deleted, scrubbed = [await _left(world, age=timedelta(hours=2)) for _ in range(2)]
    await world.registry.images.delete(OWNER, deleted.id)
    async with world.sql.database.write() as connection:
        row = update(images).where(images.c.id == scrubbed.id)
        await connection.execute(row.values(status=Status.PENDING_DELETE.value, deleted=True))
    assert [each.image_id for each in await _abandoned(world)] == [deleted.id]
