"""Records of tasks, and the import lock that goes with them."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.contract.registry.world import ADMIN, OTHER, OWNER, T0, new_image
from upstream.errors import Conflict, Invalid, NotFound
from upstream.registry import IMPORT_LOCK, ImageChanges, Lock, Order, Registry, TaskQuery
from upstream.types import Status, Task, TaskStatus

_NOBODY = "0b5e1bd8-2f35-4b61-9f3c-2f4f6f5f9a10"
LATER = datetime.now(UTC) + timedelta(hours=1)


def new_task(**fields: Any) -> Task:
    usual = {"id": str(uuid4()), "type": "import", "owner": OWNER.project_id, "created_at": T0, "updated_at": T0}
    return Task(**{**usual, **fields})


async def test_a_task_is_read_as_it_was_created(registry: Registry) -> None:
    task = new_task(image_id="i", request_id="req-1", user_id="anna", input={"a": [1, {"b": None}]}, message="m")
    await registry.tasks.create(task)
    assert await registry.tasks.get(OWNER, task.id) == task


async def test_others_than_admins_see_the_tasks_of_their_project(registry: Registry) -> None:
    task = new_task(image_id="i")
    await registry.tasks.create(task)
    assert (await registry.tasks.get(ADMIN, task.id)).id == task.id
    assert [each.id for each in await registry.tasks.list(ADMIN, TaskQuery())] == [task.id]
    assert [each.id for each in await registry.tasks.of_image(ADMIN, "i")] == [task.id]
    with pytest.raises(NotFound):
        await registry.tasks.get(OTHER, task.id)
    assert await registry.tasks.list(OTHER, TaskQuery()) == []
    assert await registry.tasks.of_image(OTHER, "i") == []


@pytest.mark.parametrize("task_id", ["", "x", "x" * 37, "a\0b", _NOBODY])
async def test_there_is_no_task_of_an_unknown_id(registry: Registry, task_id: str) -> None:
    with pytest.raises(NotFound):
        await registry.tasks.get(ADMIN, task_id)
    for change in (registry.tasks.begin(task_id), registry.tasks.touch(task_id)):
        with pytest.raises(Conflict):
            await change


async def test_a_task_goes_from_pending_to_processing_to_success(registry: Registry) -> None:
    task = new_task()
    await registry.tasks.create(task)
    await registry.tasks.begin(task.id)
    await registry.tasks.touch(task.id, "half")
    running = await registry.tasks.get(ADMIN, task.id)
    assert (running.status, running.message, running.expires_at) == (TaskStatus.PROCESSING, "half", None)
    assert running.updated_at > T0
    await registry.tasks.end(task.id, TaskStatus.SUCCESS, expires_at=LATER, result={"image_id": "i"})
    ended = await registry.tasks.get(ADMIN, task.id)
    assert (ended.status, ended.message, ended.result) == (TaskStatus.SUCCESS, "", {"image_id": "i"})
    assert ended.expires_at is not None
    assert abs(ended.expires_at - LATER) < timedelta(seconds=1)


async def test_nothing_else_can_become_of_it(registry: Registry) -> None:
    task = new_task()
    await registry.tasks.create(task)
    for forbidden in (registry.tasks.touch(task.id), registry.tasks.end(task.id, TaskStatus.SUCCESS, expires_at=LATER)):
        with pytest.raises(Conflict):
            await forbidden
    await registry.tasks.end(task.id, TaskStatus.FAILURE, expires_at=LATER, message="why")
    for forbidden in (
        registry.tasks.begin(task.id),
        registry.tasks.touch(task.id),
        *(registry.tasks.end(task.id, status, expires_at=LATER) for status in (TaskStatus.SUCCESS, TaskStatus.FAILURE)),
    ):
        with pytest.raises(Conflict):
            await forbidden
    assert (await registry.tasks.get(ADMIN, task.id)).message == "why"


async def test_of_many_who_begin_or_end_a_task_one_does(registry: Registry) -> None:
    task = new_task()
    await registry.tasks.create(task)
    begun = await asyncio.gather(*(registry.tasks.begin(task.id) for _ in range(8)), return_exceptions=True)
    assert [type(each) for each in begun].count(Conflict) == 7
    ends = [registry.tasks.end(task.id, TaskStatus.FAILURE, expires_at=LATER) for _ in range(8)]
    ended = await asyncio.gather(*ends, return_exceptions=True)
    assert [type(each) for each in ended].count(Conflict) == 7


@pytest.mark.parametrize("order", list(Order))
@pytest.mark.parametrize("key", ["created_at", "id", "status", "expires_at", "image_id", "updated_at"])
async def test_pages_of_tasks_laid_end_to_end_are_the_list(registry: Registry, key: str, order: Order) -> None:
    for number in range(7):
        moment = T0 + timedelta(seconds=number // 2)
        image_id = None if number % 3 else str(number)
        await registry.tasks.create(new_task(created_at=moment, updated_at=moment, image_id=image_id))
    whole = [each.id for each in await registry.tasks.list(ADMIN, TaskQuery(sort_key=key, order=order))]
    paged: list[str] = []
    while len(paged) < 7:
        query = TaskQuery(sort_key=key, order=order, limit=2, marker=paged[-1] if paged else None)
        page = await registry.tasks.list(ADMIN, query)
        paged += [each.id for each in page]
    assert (len(set(whole)), paged) == (7, whole)


async def test_tasks_are_filtered_by_what_they_are(registry: Registry) -> None:
    one, other = new_task(), new_task(type="api_image_import")
    for task in (one, other):
        await registry.tasks.create(task)
    found = await registry.tasks.list(ADMIN, TaskQuery(filters={"type": "import", "status": "pending"}))
    assert [each.id for each in found] == [one.id]


@pytest.mark.parametrize("query", [{"marker": _NOBODY}, {"sort_key": "color"}, {"filters": {"color": "red"}}])
async def test_a_list_by_what_tasks_do_not_have_is_refused(registry: Registry, query: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        await registry.tasks.list(ADMIN, TaskQuery(**query))


async def test_expired_tasks_are_gone_once_their_project_lists_any(registry: Registry) -> None:
    now = datetime.now(UTC)
    expired = new_task(image_id="i", expires_at=now - timedelta(seconds=1))
    kept = new_task(image_id="i", expires_at=now + timedelta(seconds=60))
    for task in (expired, kept):
        await registry.tasks.create(task)
    assert len(await registry.tasks.list(ADMIN, TaskQuery())) == 2  # of another project
    assert [each.id for each in await registry.tasks.of_image(OWNER, "i")] == [kept.id]
    assert [each.id for each in await registry.tasks.list(ADMIN, TaskQuery())] == [kept.id]
    with pytest.raises(NotFound):
        await registry.tasks.get(ADMIN, expired.id)


async def test_tasks_of_which_nothing_was_heard_are_found(registry: Registry) -> None:
    silent, heard = new_task(), new_task(updated_at=datetime.now(UTC))
    for task in (silent, heard):
        await registry.tasks.create(task)
    before = datetime.now(UTC) - timedelta(hours=1)
    assert await registry.tasks.stale(TaskStatus.PENDING, before, 10) == [silent]
    assert await registry.tasks.stale(TaskStatus.PROCESSING, before, 10) == []


async def test_of_many_who_take_the_import_lock_one_gets_it(registry: Registry) -> None:
    image = await registry.images.create(OWNER, new_image(status=Status.QUEUED))
    tasks = [new_task(image_id=image.id) for _ in range(16)]
    changes = ImageChanges(columns={"status": Status.IMPORTING})

    async def take(task: Task) -> bool:
        try:
            await registry.images.update(OWNER, image.id, changes, lock=Lock.take(task))
        except Conflict:
            return False
        return True

    won = await asyncio.gather(*map(take, tasks))
    assert won.count(True) == 1
    winner = tasks[won.index(True)]
    assert (await registry.images.get(OWNER, image.id)).properties[IMPORT_LOCK] == winner.id
    assert [each.id for each in await registry.tasks.of_image(OWNER, image.id)] == [winner.id]


async def test_only_the_holder_of_the_lock_changes_the_image_and_gives_it_back(registry: Registry) -> None:
    image = await registry.images.create(OWNER, new_image())
    mine, other = new_task(), new_task()
    await registry.images.update(OWNER, image.id, ImageChanges(), lock=Lock.take(mine))
    renamed = ImageChanges(columns={"name": "new"}, set_properties={"a": "b"})
    for lock in (Lock.hold(other.id), Lock.drop(other.id), Lock.take(other), Lock.take(other, stale=str(uuid4()))):
        with pytest.raises(Conflict):
            await registry.images.update(OWNER, image.id, renamed, lock=lock)
    kept = await registry.images.get(OWNER, image.id)
    assert (kept.name, dict(kept.properties)) == (None, {IMPORT_LOCK: mine.id})
    await registry.images.update(OWNER, image.id, renamed, lock=Lock.hold(mine.id))
    freed = await registry.images.update(OWNER, image.id, ImageChanges(), lock=Lock.drop(mine.id))
    assert (freed.name, dict(freed.properties)) == ("new", {"a": "b"})
    await registry.images.update(OWNER, image.id, ImageChanges(), lock=Lock.take(replace(mine, id=str(uuid4()))))


async def test_a_stale_lock_is_taken_over_by_one_of_many(registry: Registry) -> None:
    image = await registry.images.create(OWNER, new_image())
    stale = new_task()
    await registry.images.update(OWNER, image.id, ImageChanges(), lock=Lock.take(stale))
    locks = [Lock.take(new_task(), stale=stale.id) for _ in range(8)]
    taken = await asyncio.gather(
        *(registry.images.update(OWNER, image.id, ImageChanges(), lock=lock) for lock in locks), return_exceptions=True
    )
    assert [type(each) for each in taken].count(Conflict) == 7
    with pytest.raises(Conflict):
        await registry.images.update(OWNER, image.id, ImageChanges(), lock=Lock.hold(stale.id))


async def test_a_lock_that_glance_deleted_softly_can_be_taken(registry: Registry) -> None:
    image = await registry.images.create(OWNER, new_image(properties={IMPORT_LOCK: "old"}))
    await registry.images.update(OWNER, image.id, ImageChanges(removed_properties=(IMPORT_LOCK,)))
    task = new_task()
    taken = await registry.images.update(OWNER, image.id, ImageChanges(), lock=Lock.take(task))
    assert taken.properties == {IMPORT_LOCK: task.id}
