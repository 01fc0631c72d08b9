"""Create, get, update, delete."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import select

from tests.contract.registry.world import ADMIN, OTHER, OWNER, T0, World, new_image
from upstream.errors import Conflict, Duplicate, Invalid, NotFound
from upstream.registry import ImageChanges, ImageQuery, Registry
from upstream.registry.sql.tables import image_locations, image_members, image_properties, image_tags, images
from upstream.types import Location, Status, Visibility

_NOBODY = "0b5e1bd8-2f35-4b61-9f3c-2f4f6f5f9a10"


async def test_what_is_created_is_what_is_read(world: World, registry: Registry) -> None:
    """Every field comes back, times to the column's tick, locations with their ids."""
    image = new_image(
        name="Ubuntu 24.04",
        visibility=Visibility.SHARED,
        disk_format="qcow2",
        container_format="bare",
        size_bytes=2**40 + 1,
        virtual_size_bytes=2**41,
        checksum="d" * 32,
        os_hash_algo="sha512",
        os_hash_value="e" * 128,
        min_disk_gib=3,
        min_ram_mib=512,
        protected=True,
        os_hidden=True,
        updated_at=T0 + world.tick,
        properties={"hw_disk_bus": "virtio", "empty": "", "none": None},
        tags=("zeta", "alpha"),
        locations=(Location(url="file:///a", metadata={"store": "local", "nested": {"list": [1]}}),),
    )
    created = await registry.images.create(OWNER, image)
    read = await registry.images.get(OWNER, image.id)
    assert read == created
    assert replace(read, locations=()) == replace(image, locations=())
    (location,) = read.locations
    assert (location.url, location.store, location.metadata["nested"]) == ("file:///a", "local", {"list": [1]})
    assert location.id is not None


async def test_an_image_may_have_next_to_nothing(registry: Registry) -> None:
    image = new_image(owner=None, status=Status.QUEUED)
    assert await registry.images.create(ADMIN, image) == image


async def test_times_are_kept_in_utc_whatever_zone_they_came_in(world: World, registry: Registry) -> None:
    zone = timezone(timedelta(hours=5, minutes=30))
    image = new_image(created_at=datetime(2026, 1, 1, tzinfo=zone) + world.tick)
    created = await registry.images.create(OWNER, image)
    assert created.created_at == image.created_at
    assert created.created_at.tzinfo is UTC


@pytest.mark.parametrize(
    "text", ["Ünïcödé", "日本語のイメージ", "quote ' double \" back \\ percent % under _", "a;--", "\n\t"]
)
async def test_text_comes_back_letter_by_letter(registry: Registry, text: str) -> None:
    image = new_image(name=text, properties={text: text}, tags=(text,))
    await registry.images.create(OWNER, image)
    read = await registry.images.get(OWNER, image.id)
    assert (read.name, read.properties, read.tags) == (text, {text: text}, (text,))


async def test_an_id_is_taken_once_and_for_all(registry: Registry) -> None:
    image = await registry.images.create(OWNER, new_image())
    with pytest.raises(Duplicate):
        await registry.images.create(OTHER, new_image(id=image.id, owner="other"))
    await registry.images.delete(OWNER, image.id)
    with pytest.raises(Duplicate, match=image.id):
        await registry.images.create(OWNER, image)


@pytest.mark.parametrize("fields", [{"id": ""}, {"id": "x" * 37}, {"size_bytes": 2**63}, {"min_ram_mib": 2**31}])
async def test_an_image_that_no_row_can_hold_is_invalid(registry: Registry, fields: dict[str, object]) -> None:
    with pytest.raises(Invalid):
        await registry.images.create(OWNER, new_image(**fields))
    assert not await registry.images.list(OWNER, ImageQuery())


@pytest.mark.parametrize("image_id", [_NOBODY, "", "x" * 37, "' OR 1=1 --", "a\0b", "../../etc"])
async def test_an_id_that_is_none_is_not_found(registry: Registry, image_id: str) -> None:
    await registry.images.create(OWNER, new_image())
    with pytest.raises(NotFound):
        await registry.images.get(ADMIN, image_id)
    with pytest.raises(NotFound):
        await registry.images.update(ADMIN, image_id, ImageChanges(columns={"name": "x"}))
    with pytest.raises(NotFound):
        await registry.images.delete(ADMIN, image_id)


async def test_an_update_changes_what_it_names_and_nothing_else(registry: Registry) -> None:
    image = await registry.images.create(OWNER, new_image(name="old", properties={"a": "1", "b": "2"}, tags=("t",)))
    updated = await registry.images.update(
        OWNER,
        image.id,
        ImageChanges(columns={"name": "new", "size": 5}, set_properties={"c": "3"}, removed_properties=("a", "absent")),
    )
    assert updated == await registry.images.get(OWNER, image.id)
    assert updated.properties == {"b": "2", "c": "3"}
    assert updated.updated_at > image.updated_at
    same = replace(updated, name="old", size_bytes=None, properties=image.properties, updated_at=image.updated_at)
    assert same == image


async def test_every_write_moves_the_time_of_the_update(world: World, registry: Registry) -> None:
    image = await registry.images.create(OWNER, new_image())
    first = await registry.images.update(OWNER, image.id, ImageChanges())
    await world.later()
    second = await registry.images.update(OWNER, image.id, ImageChanges(set_properties={"a": "1"}))
    assert image.updated_at < first.updated_at < second.updated_at
    assert second.created_at == image.created_at


async def test_a_removed_property_comes_back_in_its_old_row(world: World, registry: Registry) -> None:
    """Name and image are unique among deleted rows too."""
    image = await registry.images.create(OWNER, new_image(properties={"a": "1"}))
    await registry.images.update(OWNER, image.id, ImageChanges(removed_properties=("a",)))
    assert (await registry.images.get(OWNER, image.id)).properties == {}
    again = await registry.images.update(OWNER, image.id, ImageChanges(set_properties={"a": "2"}))
    assert again.properties == {"a": "2"}
    async with world.sql.database.read() as connection:
        (row,) = await connection.execute(select(image_properties).where(image_properties.c.image_id == image.id))
    assert (row.value, row.deleted, row.deleted_at) == ("2", False, None)


@pytest.mark.parametrize(
    "columns", [{"deleted": True}, {"created_at": T0}, {"id": "x"}, {"no_such": 1}, {"size": 2**63}]
)
async def test_an_update_of_what_cannot_be_set_changes_nothing(registry: Registry, columns: dict[str, object]) -> None:
    image = await registry.images.create(OWNER, new_image())
    with pytest.raises(Invalid):
        await registry.images.update(OWNER, image.id, ImageChanges(columns=columns, set_properties={"a": "1"}))
    assert await registry.images.get(OWNER, image.id) == image


async def test_a_status_follows_only_from_the_one_it_was_said_to_follow(registry: Registry) -> None:
    image = await registry.images.create(OWNER, new_image(status=Status.QUEUED))
    changes = ImageChanges(columns={"status": Status.ACTIVE}, set_properties={"a": "1"}, tags=("t",))
    with pytest.raises(Conflict, match="queued"):
        await registry.images.update(OWNER, image.id, changes, from_status={Status.SAVING, Status.IMPORTING})
    assert await registry.images.get(OWNER, image.id) == image
    active = await registry.images.update(OWNER, image.id, changes, from_status={Status.QUEUED, Status.SAVING})
    assert active.status is Status.ACTIVE


async def test_tags_are_replaced_as_a_whole_and_named_once(registry: Registry) -> None:
    image = await registry.images.create(OWNER, new_image(tags=("b", "a", "b")))
    assert image.tags == ("b", "a")
    updated = await registry.images.update(OWNER, image.id, ImageChanges(tags=("c", "a", "c")))
    assert sorted(updated.tags) == ["a", "c"]
    assert (await registry.images.update(OWNER, image.id, ImageChanges(tags=()))).tags == ()


async def test_locations_keep_the_order_in_which_they_came(registry: Registry) -> None:
    """One with an id stays with its row, one without goes to the end, a missing one goes."""
    image = await registry.images.create(OWNER, new_image(locations=[Location(url=f"file:///{n}") for n in "cab"]))
    assert [each.url for each in image.locations] == ["file:///c", "file:///a", "file:///b"]
    first, _, last = image.locations
    wanted = (Location(url="file:///new"), last, replace(first, metadata={"store": "fast"}))
    updated = await registry.images.update(OWNER, image.id, ImageChanges(locations=wanted))
    assert [each.url for each in updated.locations] == ["file:///c", "file:///b", "file:///new"]
    assert [each.id for each in updated.locations][:2] == [first.id, last.id]
    assert updated.locations[0].store == "fast"


async def test_a_location_of_another_image_is_refused(registry: Registry) -> None:
    image = await registry.images.create(OWNER, new_image(locations=(Location(url="file:///mine"),)))
    other = await registry.images.create(OTHER, new_image(owner="other", locations=(Location(url="file:///other"),)))
    with pytest.raises(Invalid):
        await registry.images.update(OWNER, image.id, ImageChanges(locations=other.locations))
    assert await registry.images.get(OWNER, image.id) == image


async def test_a_deactivated_image_shows_its_locations_to_admins_only(registry: Registry) -> None:
    """Whoever deletes it learns them all the same: the bytes must go."""
    image = await registry.images.create(OWNER, new_image(locations=(Location(url="file:///a"),)))
    changed = await registry.images.update(ADMIN, image.id, ImageChanges(columns={"status": Status.DEACTIVATED}))
    assert changed.locations == image.locations
    assert (await registry.images.get(OWNER, image.id)).locations == ()
    assert [each.locations for each in await registry.images.list(OWNER, ImageQuery())] == [()]
    assert (await registry.images.delete(OWNER, image.id)).locations == image.locations


async def test_a_deleted_image_is_gone_and_its_rows_remain(world: World, registry: Registry) -> None:
    image = await registry.images.create(
        OWNER,
        new_image(
            visibility=Visibility.SHARED, properties={"a": "1"}, tags=("t",), locations=(Location(url="file:///a"),)
        ),
    )
    await world.share(image.id, "other", "accepted")
    assert await registry.images.delete(OWNER, image.id) == image
    for context in (ADMIN, OWNER, OTHER):
        with pytest.raises(NotFound):
            await registry.images.get(context, image.id)
        assert not await registry.images.list(context, ImageQuery(all_visibilities=True))
    with pytest.raises(NotFound):
        await registry.images.delete(OWNER, image.id)
    async with world.sql.database.read() as connection:
        row = (await connection.execute(select(images).where(images.c.id == image.id))).one()
        assert (row.status, row.deleted, row.deleted_at is not None) == ("deleted", True, True)
        for table in (image_properties, image_tags, image_members, image_locations):
            child = (await connection.execute(select(table).where(table.c.image_id == image.id))).one()
            assert (child.deleted, child.deleted_at is not None) == (True, True)
            assert table is not image_locations or child.status == "deleted"


async def test_a_tag_is_added_once_and_removed_once(world: World, registry: Registry) -> None:
    image = await registry.images.create(OWNER, new_image(tags=("a",)))
    await registry.tags.add(OWNER, image.id, "b")
    tagged = await registry.images.get(OWNER, image.id)
    await world.later()
    await registry.tags.add(OWNER, image.id, "b")
    assert await registry.images.get(OWNER, image.id) == tagged
    assert tagged.tags == ("a", "b")
    assert tagged.updated_at > image.updated_at
    await registry.tags.remove(OWNER, image.id, "a")
    assert (await registry.images.get(OWNER, image.id)).tags == ("b",)
    with pytest.raises(NotFound):
        await registry.tags.remove(OWNER, image.id, "a")


async def test_tags_of_an_image_that_is_not_seen_are_not_touched(registry: Registry) -> None:
    image = await registry.images.create(OWNER, new_image(tags=("a",)))
    with pytest.raises(NotFound):
        await registry.tags.add(OTHER, image.id, "b")
    with pytest.raises(NotFound):
        await registry.tags.remove(OTHER, image.id, "a")
    assert await registry.images.get(OWNER, image.id) == image


async def test_a_registry_that_answers_passes_its_check(registry: Registry) -> None:
    await registry.check()
