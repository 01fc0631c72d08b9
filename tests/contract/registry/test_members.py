"""Members of images: who is one, who sees them, and what many at once make of it."""

import asyncio
from collections.abc import Sequence

import pytest
from sqlalchemy import select

from tests.contract.registry.world import ADMIN, NOBODY, OTHER, OWNER, World, new_image
from upstream.errors import Duplicate, Invalid, LimitExceeded, NotFound
from upstream.registry import ImageChanges, ImageQuery, Registry
from upstream.registry.sql.tables import image_members
from upstream.types import Context, Image, MemberStatus, Visibility

THIRD = Context(user_id="carl", project_id="third", roles=frozenset({"member"}))
NO_QUOTA = -1


async def shared(registry: Registry, *members: str) -> Image:
    image = await registry.images.create(OWNER, new_image(visibility=Visibility.SHARED))
    for member in members:
        await registry.members.add(OWNER, image.id, member, quota=NO_QUOTA)
    return image


async def names(registry: Registry, context: Context, image: Image) -> Sequence[str]:
    return [member.project_id for member in await registry.members.list(context, image.id)]


async def rows(world: World) -> Sequence[tuple[str, bool]]:
    async with world.sql.database.read() as connection:
        found = await connection.execute(select(image_members.c.member, image_members.c.deleted))
        return [(row.member, row.deleted) for row in found]


async def test_a_new_member_is_pending_and_sees_the_image(registry: Registry) -> None:
    image = await shared(registry)
    member = await registry.members.add(OWNER, image.id, "other", quota=NO_QUOTA)
    assert (member.image_id, member.project_id, member.status) == (image.id, "other", MemberStatus.PENDING)
    assert member.created_at == member.updated_at
    assert (await registry.images.get(OTHER, image.id)).member == "other"
    assert await registry.members.get(OTHER, image.id, "other") == member


async def test_the_owner_and_admins_see_all_members_and_a_member_sees_itself(registry: Registry) -> None:
    image = await shared(registry, "third", "other")
    assert await names(registry, OWNER, image) == await names(registry, ADMIN, image) == ["third", "other"]
    assert await names(registry, OTHER, image) == ["other"]
    assert await names(registry, NOBODY, image) == []
    with pytest.raises(NotFound):
        await registry.members.get(OTHER, image.id, "third")
    with pytest.raises(NotFound):
        await registry.members.answer(OTHER, image.id, "third", MemberStatus.ACCEPTED)
    with pytest.raises(NotFound):
        await registry.members.remove(OTHER, image.id, "third")


async def test_an_answer_decides_about_lists_and_moves_the_time(registry: Registry) -> None:
    image = await shared(registry, "other")
    before = await registry.members.get(OTHER, image.id, "other")
    for status in MemberStatus:
        answered = await registry.members.answer(OTHER, image.id, "other", status)
        assert (answered.status, answered.created_at) == (status, before.created_at)
        assert answered.updated_at >= before.updated_at
        for asked in MemberStatus:
            listed = await registry.images.list(OTHER, ImageQuery(member_status=asked))
            assert [each.id for each in listed] == ([image.id] if asked is status else [])


async def test_a_member_who_comes_back_has_not_answered_and_takes_its_old_row(world: World) -> None:
    registry = world.registry
    image = await shared(registry, "other")
    await registry.members.answer(OTHER, image.id, "other", MemberStatus.ACCEPTED)
    await registry.members.remove(OWNER, image.id, "other")
    assert await rows(world) == [("other", True)]
    with pytest.raises(NotFound):
        await registry.images.get(OTHER, image.id)
    again = await registry.members.add(OWNER, image.id, "other", quota=NO_QUOTA)
    assert again.status is MemberStatus.PENDING
    assert await rows(world) == [("other", False)]
    await registry.members.remove(OWNER, image.id, "other")
    assert await names(registry, OWNER, image) == []


async def test_what_is_not_there_is_not_found(registry: Registry) -> None:
    image = await shared(registry, "other")
    for image_id, project in ((new_image().id, "other"), (image.id, "nobody"), ("\0", "other"), (image.id, "\0")):
        with pytest.raises(NotFound):
            await registry.members.get(OWNER, image_id, project)
        with pytest.raises(NotFound):
            await registry.members.answer(OWNER, image_id, project, MemberStatus.ACCEPTED)
        with pytest.raises(NotFound):
            await registry.members.remove(OWNER, image_id, project)
    assert await registry.members.list(OWNER, new_image().id) == []
    with pytest.raises(NotFound):
        await registry.members.add(THIRD, image.id, "third", quota=NO_QUOTA)


async def test_a_deleted_image_has_no_members(world: World) -> None:
    registry = world.registry
    image = await shared(registry, "other")
    await registry.images.delete(OWNER, image.id)
    assert await rows(world) == [("other", True)]
    assert await names(registry, ADMIN, image) == []
    with pytest.raises(NotFound):
        await registry.members.add(OWNER, image.id, "third", quota=NO_QUOTA)


async def test_members_outlive_a_change_of_visibility(registry: Registry) -> None:
    image = await shared(registry, "other")
    await registry.images.update(OWNER, image.id, ImageChanges(columns={"visibility": Visibility.PRIVATE}))
    with pytest.raises(NotFound):
        await registry.images.get(OTHER, image.id)
    await registry.images.update(OWNER, image.id, ImageChanges(columns={"visibility": Visibility.SHARED}))
    assert (await registry.images.get(OTHER, image.id)).member == "other"


async def test_a_quota_holds_at_the_limit_and_past_it_and_deleted_members_do_not_count(registry: Registry) -> None:
    image = await shared(registry, "gone")
    await registry.members.remove(OWNER, image.id, "gone")
    for member in ("a", "b"):
        await registry.members.add(OWNER, image.id, member, quota=2)
    with pytest.raises(LimitExceeded, match="Attempted: 3, Maximum: 2"):
        await registry.members.add(OWNER, image.id, "c", quota=2)
    with pytest.raises(LimitExceeded):  # before anybody looks whether it is a member already
        await registry.members.add(OWNER, image.id, "a", quota=2)
    with pytest.raises(Duplicate):
        await registry.members.add(OWNER, image.id, "a", quota=3)
    await registry.members.add(OWNER, image.id, "c", quota=NO_QUOTA)
    with pytest.raises(LimitExceeded):
        await registry.members.add(OWNER, (await shared(registry)).id, "a", quota=0)


async def test_a_name_that_no_column_holds_is_refused(registry: Registry) -> None:
    image = await shared(registry, "m" * 255)
    for name in ("", "m" * 256, "a\0"):
        with pytest.raises(Invalid):
            await registry.members.add(OWNER, image.id, name, quota=NO_QUOTA)


async def test_of_many_adds_of_one_member_exactly_one_succeeds(registry: Registry) -> None:
    """The first time, and when a deleted row waits to be used again."""
    image = await shared(registry)
    for _ in range(2):
        adds = (registry.members.add(OWNER, image.id, "other", quota=NO_QUOTA) for _ in range(8))
        outcomes = await asyncio.gather(*adds, return_exceptions=True)
        assert sorted(type(each).__name__ for each in outcomes) == ["Duplicate"] * 7 + ["Member"]
        assert await names(registry, OWNER, image) == ["other"]
        await registry.members.remove(OWNER, image.id, "other")


async def test_many_adds_at_once_do_not_pass_the_quota(registry: Registry) -> None:
    image = await shared(registry)
    adds = (registry.members.add(OWNER, image.id, f"p{number}", quota=3) for number in range(12))
    outcomes = await asyncio.gather(*adds, return_exceptions=True)
    assert sorted(type(each).__name__ for each in outcomes) == ["LimitExceeded"] * 9 + ["Member"] * 3
    assert len(await names(registry, OWNER, image)) == 3


async def test_of_many_removals_exactly_one_succeeds(registry: Registry) -> None:
    image = await shared(registry, "other")
    removals = (registry.members.remove(OWNER, image.id, "other") for _ in range(8))
    outcomes = await asyncio.gather(*removals, return_exceptions=True)
    assert [each for each in outcomes if not isinstance(each, NotFound)] == [None]
