"""Who sees what: by id, and in lists. Expectations are those of Glance (db/utils.py, db/sqlalchemy/api.py)."""

from collections.abc import Mapping

import pytest

from tests.contract.registry.world import ADMIN, NOBODY, OTHER, OWNER, World, new_image
from upstream.errors import Invalid, NotFound
from upstream.registry import ImageChanges, ImageQuery, Registry
from upstream.types import Context, Visibility

WHO: Mapping[str, Context] = {"admin": ADMIN, "owner": OWNER, "other": OTHER, "nobody": NOBODY}
EVERYBODY = "admin owner other nobody"

# Owner, visibility, what the project `other` answered as a member (None: is none); who sees it by id; who in the list.
CASES = [
    ("owner", "public", None, EVERYBODY, EVERYBODY),
    ("owner", "community", None, EVERYBODY, "owner"),
    ("owner", "private", None, "admin owner", "admin owner"),
    ("owner", "private", "accepted", "admin owner", "admin owner"),
    ("owner", "shared", None, "admin owner", "admin owner"),
    ("owner", "shared", "pending", "admin owner other", "admin owner"),
    ("owner", "shared", "rejected", "admin owner other", "admin owner"),
    ("owner", "shared", "accepted", "admin owner other", "admin owner other"),
    (None, "private", None, EVERYBODY, "admin"),
    (None, "shared", None, EVERYBODY, "admin"),
    (None, "shared", "accepted", EVERYBODY, "admin other"),
    (None, "community", None, EVERYBODY, ""),
    (None, "public", None, EVERYBODY, EVERYBODY),
]


@pytest.mark.parametrize(("owner", "visibility", "answer", "by_id", "in_list"), CASES)
async def test_an_image_is_seen_by_those_who_may(
    world: World, owner: str | None, visibility: str, answer: str | None, by_id: str, in_list: str
) -> None:
    images = world.registry.images
    image = await images.create(ADMIN, new_image(owner=owner, visibility=Visibility(visibility)))
    if answer:
        await world.share(image.id, "other", answer)
    for name, context in WHO.items():
        listed = [each.id for each in await images.list(context, ImageQuery())]
        assert listed == ([image.id] if name in in_list.split() else []), name
        if name in by_id.split():
            assert (await images.get(context, image.id)).id == image.id
            continue
        with pytest.raises(NotFound):
            await images.get(context, image.id)
        with pytest.raises(NotFound):
            await images.update(context, image.id, ImageChanges(columns={"name": "mine now"}))
        with pytest.raises(NotFound):
            await images.delete(context, image.id)
        with pytest.raises(Invalid, match="marker"):
            await images.list(context, ImageQuery(marker=image.id))


async def test_a_member_is_told_that_it_is_one(world: World) -> None:
    """By id and in lists; the owner is not, and an admin is, as Glance has it for policies that ask for members."""
    images = world.registry.images
    image = await images.create(OWNER, new_image(visibility=Visibility.SHARED))
    await world.share(image.id, "other", "accepted")
    assert (await images.get(OTHER, image.id)).member == "other"
    assert [each.member for each in await images.list(OTHER, ImageQuery())] == ["other"]
    assert (await images.get(OWNER, image.id)).member is None
    assert (await images.get(ADMIN, image.id)).member == "admin"


async def test_nobody_is_a_member_of_an_image_that_is_not_shared(world: World) -> None:
    """Whatever its rows say: they stay when the visibility changes."""
    image = await world.registry.images.create(OWNER, new_image(visibility=Visibility.PUBLIC))
    await world.share(image.id, "other", "accepted")
    assert (await world.registry.images.get(OTHER, image.id)).member is None


@pytest.mark.parametrize(
    ("member_status", "found"), [("accepted", 1), ("pending", 1), ("rejected", 1), ("all", 3), ("none such", 0)]
)
async def test_a_list_has_shared_images_by_what_the_member_answered(
    world: World, member_status: str, found: int
) -> None:
    for answer in ("accepted", "pending", "rejected"):
        image = await world.registry.images.create(OWNER, new_image(visibility=Visibility.SHARED))
        await world.share(image.id, "other", answer)
        await world.share(image.id, "third", "accepted")
    listed = await world.registry.images.list(OTHER, ImageQuery(member_status=member_status))
    assert len(listed) == found


async def test_a_visibility_that_is_asked_for_is_the_only_one(registry: Registry) -> None:
    """Other people's community images come with `community` and with all, for admins as for others."""
    for visibility in Visibility:
        await registry.images.create(OWNER, new_image(visibility=visibility))
    for context, seen in ((OTHER, {"public", "community"}), (ADMIN, set(Visibility)), (OWNER, set(Visibility))):
        for visibility in Visibility:
            listed = await registry.images.list(context, ImageQuery(visibility=visibility))
            assert {each.visibility for each in listed} == seen & {visibility}
        listed = await registry.images.list(context, ImageQuery(all_visibilities=True))
        assert {each.visibility for each in listed} == seen


async def test_a_change_of_visibility_counts_at_once(registry: Registry) -> None:
    image = await registry.images.create(OWNER, new_image(visibility=Visibility.PUBLIC))
    await registry.images.get(OTHER, image.id)
    await registry.images.update(OWNER, image.id, ImageChanges(columns={"visibility": Visibility.PRIVATE}))
    with pytest.raises(NotFound):
        await registry.images.get(OTHER, image.id)
