"""Many at once: nothing lost, nothing torn, nothing stale."""

import asyncio

import pytest

from tests.contract.registry.world import OTHER, OWNER, World, new_image
from upstream.errors import Conflict, Duplicate, NotFound
from upstream.registry import ImageChanges, ImageQuery, Registry
from upstream.types import Context, Location, Status


async def test_of_many_who_take_an_image_exactly_one_gets_it(registry: Registry) -> None:
    image = await registry.images.create(OWNER, new_image(status=Status.QUEUED))

    async def take(number: int) -> bool:
        changes = ImageChanges(columns={"status": Status.SAVING}, set_properties={"winner": str(number)})
        try:
            await registry.images.update(OWNER, image.id, changes, from_status={Status.QUEUED})
        except Conflict:
            return False
        return True

    won = await asyncio.gather(*(take(number) for number in range(32)))
    assert won.count(True) == 1
    taken = await registry.images.get(OWNER, image.id)
    assert (taken.status, taken.properties) == (Status.SAVING, {"winner": str(won.index(True))})


async def test_updates_of_different_properties_do_not_undo_each_other(registry: Registry) -> None:
    image = await registry.images.create(OWNER, new_image(properties={f"p{n}": "old" for n in range(10)}))

    async def change(number: int) -> None:
        changes = (
            ImageChanges(set_properties={f"p{number}": "new"})
            if number % 2
            else ImageChanges(removed_properties=(f"p{number}",), set_properties={f"q{number}": "added"})
        )
        await registry.images.update(OWNER, image.id, changes)

    await asyncio.gather(*(change(number) for number in range(10)))
    expected = {f"p{n}": "new" for n in range(1, 10, 2)} | {f"q{n}": "added" for n in range(0, 10, 2)}
    assert (await registry.images.get(OWNER, image.id)).properties == expected


async def test_a_property_or_tag_that_many_add_is_there_once(registry: Registry) -> None:
    image = await registry.images.create(OWNER, new_image())
    changes = ImageChanges(set_properties={"a": "1"})
    await asyncio.gather(
        *(registry.images.update(OWNER, image.id, changes) for _ in range(8)),
        *(registry.tags.add(OWNER, image.id, "t") for _ in range(8)),
    )
    read = await registry.images.get(OWNER, image.id)
    assert (read.properties, read.tags) == ({"a": "1"}, ("t",))


async def test_of_many_who_create_or_delete_one_image_exactly_one_does(registry: Registry) -> None:
    image = new_image()
    created = await asyncio.gather(*(registry.images.create(OWNER, image) for _ in range(8)), return_exceptions=True)
    assert sorted(type(each).__name__ for each in created) == [Duplicate.__name__] * 7 + ["Image"]
    deleted = await asyncio.gather(*(registry.images.delete(OWNER, image.id) for _ in range(8)), return_exceptions=True)
    assert sorted(type(each).__name__ for each in deleted) == ["Image"] + [NotFound.__name__] * 7


async def test_a_reading_is_of_one_moment_and_never_older_than_the_question(registry: Registry) -> None:
    """Name, property, tag and location change together: whoever reads sees the same number in all of them."""
    image = await registry.images.create(OWNER, new_image(name="0", properties={"n": "0"}, tags=("0",)))
    done = asyncio.Event()

    async def write() -> None:
        for number in map(str, range(1, 20)):
            await registry.images.update(
                OWNER,
                image.id,
                ImageChanges(
                    columns={"name": number},
                    set_properties={"n": number},
                    tags=(number,),
                    locations=(Location(url=f"file:///{number}"),),
                ),
            )
            assert (await registry.images.get(OWNER, image.id)).name == number
        done.set()

    async def read(*, lists: bool) -> None:
        latest = 0
        while not done.is_set():
            if lists:
                (seen,) = await registry.images.list(OWNER, ImageQuery())
            else:
                seen = await registry.images.get(OWNER, image.id)
            number = seen.name
            assert number is not None
            assert (seen.properties["n"], seen.tags) == (number, (number,))
            assert [each.url for each in seen.locations] in ([f"file:///{number}"], [])
            assert int(number) >= latest
            latest = int(number)

    async with asyncio.TaskGroup() as group:
        group.create_task(write())
        for reader in range(8):
            group.create_task(read(lists=reader % 2 == 0))


async def test_readers_who_come_together_share_statements_and_keep_their_own_eyes(world: World) -> None:
    """Each is answered by its own rights, although one query answered them all."""
    mine = [await world.registry.images.create(OWNER, new_image(name=str(n))) for n in range(32)]

    async def look(context: Context, image_id: str) -> bool:
        try:
            return (await world.registry.images.get(context, image_id)).id == image_id
        except NotFound:
            return False

    with world.counted() as statements:
        seen = await asyncio.gather(*(look(context, image.id) for image in mine for context in (OWNER, OTHER)))
    assert seen == [True, False] * 32
    assert len(statements) <= world.together


async def test_a_reader_who_leaves_disturbs_nobody(registry: Registry) -> None:
    images = [await registry.images.create(OWNER, new_image()) for _ in range(8)]
    readers = [asyncio.gather(*(registry.images.get(OWNER, image.id) for image in images)) for _ in range(2)]
    leaving = asyncio.gather(registry.images.get(OWNER, images[0].id))
    await asyncio.sleep(0)
    leaving.cancel()
    for reader in readers:
        assert [each.id for each in await reader] == [each.id for each in images]
    with pytest.raises(asyncio.CancelledError):
        await leaving


async def test_a_writer_who_leaves_leaves_nothing_half_done(world: World) -> None:
    """Cancelled after any of its statements; the next writer finds the door open."""
    registry = world.registry
    image = await registry.images.create(OWNER, new_image(name="old", properties={"a": "old"}))
    changes = ImageChanges(columns={"name": "new"}, set_properties={"a": "new"}, tags=("new",))
    for statements_run in range(10):
        with world.counted() as statements:
            writing = asyncio.gather(registry.images.update(OWNER, image.id, changes))
            while len(statements) < statements_run and not writing.done():  # noqa: ASYNC110 - stops at one statement
                await asyncio.sleep(0)
            writing.cancel()
            await asyncio.wait([writing])
        seen = await registry.images.get(OWNER, image.id)
        assert (seen.name, seen.properties["a"], seen.tags) in {("old", "old", ()), ("new", "new", ("new",))}
    await registry.images.update(OWNER, image.id, changes)
