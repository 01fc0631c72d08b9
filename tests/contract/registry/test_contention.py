"""Many clients of several Glints on one database: every limit and every lock holds, and nobody is sent away for it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.contract.registry.test_tasks import new_task
from tests.contract.registry.world import OTHER, OWNER, T0, World, new_image
from upstream.errors import Conflict, Duplicate, LimitExceeded, NotFound
from upstream.registry import Ceiling, ImageChanges, Lock, Registry, RegistryConfig, open_registry
from upstream.types import Location, Status

GLINTS = 3
CLIENTS = 24
ROUNDS = 2

# SQLite has one writer at a time.
pytestmark = pytest.mark.parametrize("world", ["postgresql", "mariadb"], indirect=True)


@pytest.fixture
async def glints(world: World) -> AsyncIterator[Sequence[Registry]]:
    """Each with connections of its own, as each process has them."""
    url = world.sql.database.engines[1].url.render_as_string(hide_password=False)
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(open_registry(RegistryConfig(url=url))) for _ in range(GLINTS)]


async def outcomes(glints: Sequence[Registry], call: Callable[[Registry, int], Awaitable[object]]) -> Counter[str]:
    """What came of one call by each client: the names of exceptions, or `done`. All begin at once."""
    calls = (call(glints[number % GLINTS], number) for number in range(CLIENTS))
    found = await asyncio.gather(*calls, return_exceptions=True)
    return Counter(type(each).__name__ if isinstance(each, BaseException) else "done" for each in found)


def expected(done: int, refused: type[Exception]) -> Counter[str]:
    return Counter({"done": done, refused.__name__: CLIENTS - done})


async def test_the_very_first_images_of_a_project_keep_to_its_limit(glints: Sequence[Registry]) -> None:
    """There is no image yet that its transactions could wait for each other at."""
    for number in range(ROUNDS):
        project = f"fresh {number}"
        five = Ceiling(project_id=project, images_max=5)

        async def create(glint: Registry, _: int, project: str = project, five: Ceiling = five) -> None:
            await glint.images.create(OWNER, new_image(owner=project), ceiling=five)

        assert await outcomes(glints, create) == expected(5, LimitExceeded)
        assert (await glints[0].usage.of(project)).images == 5


async def test_projects_that_begin_at_once_do_not_disturb_each_other(glints: Sequence[Registry]) -> None:
    """What is nobody's is counted as a project's."""
    projects = (None, *(f"p{number}" for number in range(5)))

    async def create(glint: Registry, number: int) -> None:
        project = projects[number % 6]
        await glint.images.create(OWNER, new_image(owner=project), ceiling=Ceiling(project_id=project, images_max=2))

    assert await outcomes(glints, create) == expected(12, LimitExceeded)
    assert [(await glints[1].usage.of(project)).images for project in projects] == [2] * 6


async def test_bytes_that_are_stored_at_once_keep_to_the_limit_while_the_oldest_image_goes(
    glints: Sequence[Registry],
) -> None:
    """What they wait for each other at, the oldest image, is deleted meanwhile."""
    ids = [(await glints[0].images.create(OWNER, new_image(status=Status.SAVING))).id for _ in range(CLIENTS)]
    first = await glints[0].images.create(OWNER, new_image(created_at=T0 - timedelta(days=1)))
    sixty = Ceiling(project_id=OWNER.project_id, other_bytes_max=60)

    async def store(glint: Registry, number: int) -> None:
        if number == CLIENTS // 2:
            await glint.images.delete(OWNER, first.id)
        changes = ImageChanges(
            columns={"status": Status.ACTIVE, "size": 10}, added_locations=(Location(url=f"file:///{number}"),)
        )
        await glint.images.update(OWNER, ids[number], changes, from_status={Status.SAVING}, ceiling=sixty)

    # The changed image does not count: one more than fits into sixty bytes.
    assert await outcomes(glints, store) == expected(7, LimitExceeded)
    assert (await glints[0].usage.of(OWNER.project_id)).stored_bytes == 70


async def test_a_status_moves_once_and_a_deleted_image_moves_no_more(glints: Sequence[Registry]) -> None:
    for _ in range(ROUNDS):
        image = await glints[0].images.create(OWNER, new_image(status=Status.QUEUED))

        async def take(glint: Registry, number: int, image_id: str = image.id) -> None:
            if number == CLIENTS - 1:
                await glint.images.delete(OWNER, image_id)
                return
            changes = ImageChanges(columns={"status": Status.SAVING}, set_properties={"winner": str(number)})
            await glint.images.update(OWNER, image_id, changes, from_status={Status.QUEUED})

        found = await outcomes(glints, take)
        # The delete, and at most one who came before it; those after it find nothing, those before it a conflict.
        assert found["done"] in {1, 2}, found
        assert set(found) <= {"done", Conflict.__name__, NotFound.__name__}, found


async def test_an_import_lock_has_one_holder_with_one_record(glints: Sequence[Registry]) -> None:
    """Nobody takes it twice, and whoever gives it back gives it to one."""
    image = await glints[0].images.create(OWNER, new_image())
    holder: str | None = None
    for _ in range(ROUNDS):
        locks = [Lock.take(replace(new_task(), image_id=image.id), stale=holder) for _ in range(CLIENTS)]

        async def take(glint: Registry, number: int, locks: Sequence[Lock] = locks) -> None:
            await glint.images.update(OWNER, image.id, ImageChanges(), lock=locks[number])

        before = {each.id for each in await glints[0].tasks.of_image(OWNER, image.id)}
        assert await outcomes(glints, take) == expected(1, Conflict)
        new = {each.id for each in await glints[0].tasks.of_image(OWNER, image.id)} - before
        assert len(new) == 1
        (holder,) = new
        read = await glints[1].images.get(OWNER, image.id)
        assert read.properties["os_glance_import_task"] == holder


async def test_members_keep_to_their_quota_and_none_is_there_twice(glints: Sequence[Registry]) -> None:
    image = await glints[0].images.create(OWNER, new_image())

    async def share(glint: Registry, number: int) -> None:
        await glint.members.add(OWNER, image.id, f"project {number % 16}", quota=10)

    found = await outcomes(glints, share)
    assert found["done"] == 10, found
    assert set(found) <= {"done", Duplicate.__name__, LimitExceeded.__name__}, found
    members = [each.project_id for each in await glints[2].members.list(OWNER, image.id)]
    assert len(members) == len(set(members)) == 10


async def test_changes_of_many_images_in_any_order_all_arrive(glints: Sequence[Registry]) -> None:
    """Deadlocks among them, and with those who count, are run again: nobody hears of one."""
    ids = [(await glints[0].images.create(OWNER, new_image(status=Status.SAVING))).id for _ in range(3)]
    plenty = Ceiling(project_id=OWNER.project_id, images_max=1000, other_bytes_max=10**9)

    async def change(glint: Registry, number: int) -> None:
        image_id = ids[number % 3]
        await glint.images.update(
            OWNER, image_id, ImageChanges(set_properties={f"p{number}": "1"}), ceiling=plenty if number % 2 else None
        )
        await glint.tags.add(OWNER, image_id, f"t{number}")
        await glint.members.add(OWNER, image_id, f"m{number}", quota=-1)

    assert await outcomes(glints, change) == Counter(done=CLIENTS)
    for position, image_id in enumerate(ids):
        numbers = range(position, CLIENTS, 3)
        image = await glints[-1].images.get(OWNER, image_id)
        assert set(image.properties) == {f"p{number}" for number in numbers}
        assert set(image.tags) == {f"t{number}" for number in numbers}
    assert (await glints[0].usage.of(OTHER.project_id)).images == 0
