"""What a project has, and changes that would give it too much."""

import asyncio

import pytest

from tests.contract.registry.world import ADMIN, OTHER, OWNER, new_image
from upstream.errors import LimitExceeded
from upstream.registry import Ceiling, ImageChanges, ProjectUsage, Registry
from upstream.types import Location, Status

HERE, THERE = Location(url="file:///a"), Location(url="file:///b")


async def test_an_image_counts_as_often_as_it_is_stored(registry: Registry) -> None:
    await registry.images.create(OWNER, new_image(size_bytes=10, locations=(HERE, THERE)))
    await registry.images.create(OWNER, new_image(size_bytes=2**40, locations=(HERE,)))
    await registry.images.create(OWNER, new_image(size_bytes=5))
    await registry.images.create(OWNER, new_image(status=Status.QUEUED))
    await registry.images.create(OTHER, new_image(owner="other", size_bytes=7, locations=(HERE,)))
    assert await registry.usage.of("owner") == ProjectUsage(stored_bytes=20 + 2**40, images=4)
    assert await registry.usage.of("other") == ProjectUsage(stored_bytes=7, images=1)
    assert await registry.usage.of("nobody") == ProjectUsage()


async def test_one_image_can_be_left_out_of_what_is_stored(registry: Registry) -> None:
    image = new_image(size_bytes=10, locations=(HERE,))
    await registry.images.create(OWNER, image)
    assert await registry.usage.of("owner", without_image=image.id) == ProjectUsage(images=1)


async def test_images_of_nobody_are_counted_for_nobody(registry: Registry) -> None:
    await registry.images.create(ADMIN, new_image(owner=None, size_bytes=3, locations=(HERE,)))
    assert await registry.usage.of(None) == ProjectUsage(stored_bytes=3, images=1)


async def test_what_is_gone_does_not_count(registry: Registry) -> None:
    deleted, killed = new_image(size_bytes=10, locations=(HERE,)), new_image(status=Status.KILLED, size_bytes=10)
    for image in (deleted, killed):
        await registry.images.create(OWNER, image)
    await registry.images.delete(OWNER, deleted.id)
    assert await registry.usage.of("owner") == ProjectUsage()


async def test_a_location_that_was_removed_does_not_count(registry: Registry) -> None:
    created = await registry.images.create(OWNER, new_image(size_bytes=10, locations=(HERE, THERE)))
    await registry.images.update(OWNER, created.id, ImageChanges(locations=created.locations[:1]))
    assert (await registry.usage.of("owner")).stored_bytes == 10


@pytest.mark.parametrize(
    ("status", "properties", "staged_bytes", "uploading"),
    [
        (Status.QUEUED, {}, 0, 0),
        (Status.SAVING, {}, 0, 1),
        (Status.UPLOADING, {}, 10, 1),
        (Status.IMPORTING, {}, 10, 1),
        (Status.ACTIVE, {}, 0, 0),
        (Status.ACTIVE, {"os_glance_importing_to_stores": "second"}, 10, 1),
        (Status.IMPORTING, {"os_glance_importing_to_stores": "second"}, 10, 1),
        (Status.ACTIVE, {"os_glance_importing_to_stores": ""}, 0, 0),
        (Status.KILLED, {"os_glance_importing_to_stores": "second"}, 0, 0),
    ],
)
async def test_what_is_on_its_way_counts_as_staged_and_uploading(
    registry: Registry, status: Status, properties: dict[str, str], staged_bytes: int, uploading: int
) -> None:
    await registry.images.create(OWNER, new_image(status=status, size_bytes=10, properties=properties))
    usage = await registry.usage.of("owner")
    assert (usage.staged_bytes, usage.uploading) == (staged_bytes, uploading)


async def test_a_change_up_to_the_ceiling_is_made_and_one_past_it_is_not(registry: Registry) -> None:
    await registry.images.create(OWNER, new_image(size_bytes=10, locations=(HERE,)))
    image = await registry.images.create(OWNER, new_image(status=Status.SAVING))
    changes = ImageChanges(columns={"status": Status.ACTIVE, "size": 5}, locations=(THERE,))
    with pytest.raises(LimitExceeded):
        await registry.images.update(OWNER, image.id, changes, ceiling=Ceiling(project_id="owner", other_bytes_max=9))
    assert await registry.images.get(OWNER, image.id) == image, "nothing of it is left"
    changed = await registry.images.update(
        OWNER, image.id, changes, ceiling=Ceiling(project_id="owner", other_bytes_max=10)
    )
    assert (changed.status, changed.size_bytes) == (Status.ACTIVE, 5)


async def test_as_many_images_are_created_and_uploaded_as_the_ceiling(registry: Registry) -> None:
    two = Ceiling(project_id="owner", images_max=2, uploading_max=1)
    first = await registry.images.create(OWNER, new_image(status=Status.QUEUED), ceiling=two)
    second = await registry.images.create(OWNER, new_image(status=Status.QUEUED), ceiling=two)
    with pytest.raises(LimitExceeded):
        await registry.images.create(OWNER, new_image(), ceiling=two)
    saving = ImageChanges(columns={"status": Status.SAVING})
    await registry.images.update(OWNER, first.id, saving, ceiling=two)
    with pytest.raises(LimitExceeded):
        await registry.images.update(OWNER, second.id, saving, ceiling=two)
    assert (await registry.usage.of("owner")) == ProjectUsage(images=2, uploading=1)


async def test_changes_at_once_do_not_pass_the_ceiling_together(registry: Registry) -> None:
    images = [await registry.images.create(OWNER, new_image(status=Status.SAVING)) for _ in range(8)]
    three = Ceiling(project_id="owner", other_bytes_max=20)

    async def finish(image_id: str) -> bool:
        changes = ImageChanges(
            columns={"status": Status.ACTIVE, "size": 10}, locations=(Location(url=f"file:///{image_id}"),)
        )
        try:
            await registry.images.update(OWNER, image_id, changes, ceiling=three)
        except LimitExceeded:
            return False
        return True

    assert sum(await asyncio.gather(*(finish(image.id) for image in images))) == 3
    assert (await registry.usage.of("owner")).stored_bytes == 30
