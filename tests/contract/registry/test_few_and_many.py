"""A page is the same whichever way its images are found."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import product
from uuid import UUID

import pytest
from sqlalchemy import update
from sqlalchemy.dialects import mysql

from tests.contract.registry.world import ADMIN, NOBODY, OTHER, OWNER, T0, World, new_image
from upstream.registry import Filter, ImageChanges, ImageQuery, Operator, Order
from upstream.registry.sql import listing, narrowing
from upstream.registry.sql.tables import images
from upstream.types import Context, Image, Status, Visibility

NEVER, ALWAYS = -1, 2048
LONG, SHORT, IN_TWO = (1024, 8192), (1, 2), (3, 64)  # legs of a walk: the whole list, never a page, a page or not
WAYS: Mapping[str, tuple[tuple[int, int], int]] = {
    "looked up": (SHORT, ALWAYS),
    "walked in two legs, or all of them read": (IN_TWO, NEVER),
    "the first of them, or all of them read": (SHORT, NEVER),
}


def has(field: str, value: object, operator: Operator = Operator.EQ) -> Filter:
    return Filter(field=field, operator=operator, value=value)


def says(name: str, value: str) -> Filter:
    return Filter(field=name, operator=Operator.EQ, value=value, is_property=True)


FILTERS: Sequence[ImageQuery] = (
    ImageQuery(tags=("t0",)),
    ImageQuery(tags=("t0", "t1", "t0")),
    ImageQuery(filters=(says("os", "a"),)),
    ImageQuery(filters=(says("os", "a"), says("arch", "x"), has("disk_format", "raw")), tags=("t1",)),
    ImageQuery(filters=(says("none", "a"),)),
    ImageQuery(filters=(has("name", "n1"),)),
    ImageQuery(filters=(has("name", ("n1", "n2"), Operator.IN), has("size", 5, Operator.GTE))),
    ImageQuery(filters=(has("updated_at", T0 + timedelta(seconds=12), Operator.LT),)),
    ImageQuery(filters=(has("owner", OTHER.project_id), has("checksum", None))),
    ImageQuery(visibility=Visibility.SHARED),
    ImageQuery(visibility=Visibility.SHARED, member_status="all"),
    ImageQuery(visibility=Visibility.SHARED, member_status="pending", tags=("t1",)),
    ImageQuery(visibility=Visibility.PRIVATE, filters=(says("os", "b"),)),
    ImageQuery(visibility=Visibility.COMMUNITY),
    ImageQuery(visibility=Visibility.PUBLIC, os_hidden=True),
    ImageQuery(all_visibilities=True, filters=(has("status", "active"),)),
    ImageQuery(os_hidden=True),
)
SORTS = tuple(
    ((key, order), ("id", order))
    for key, order in product(("created_at", "updated_at", "name", "size"), (Order.ASCENDING, Order.DESCENDING))
)


def some() -> Iterator[Image]:
    """Of all kinds, in many combinations; every third has no name, and times come twice."""
    for number in range(48):
        yield new_image(
            id=str(UUID(int=number * 7919 % 48)),
            name=None if number % 3 == 0 else f"n{number % 5}",
            size_bytes=number % 11,
            owner=(OWNER, OTHER)[number % 2].project_id,
            visibility=tuple(Visibility)[number // 2 % 4],
            status=Status.QUEUED if number % 7 == 0 else Status.ACTIVE,
            disk_format=("raw", "qcow2")[number // 3 % 2],
            os_hidden=number % 9 == 4,
            created_at=T0 + timedelta(seconds=number // 2),
            updated_at=T0 + timedelta(seconds=number // 3),
            properties={"os": "ab"[number % 2], "arch": "xyz"[number % 3]},
            tags=tuple(f"t{tag}" for tag in range(3) if number // 2 % (tag + 2) == 0),
        )


async def fill(world: World) -> None:
    made = [await world.registry.images.create(ADMIN, image) for image in some()]
    for number, image in enumerate(made):
        if image.visibility is Visibility.SHARED:
            project = (OTHER if image.owner == OWNER.project_id else OWNER).project_id
            await world.share(image.id, str(project), ("accepted", "pending", "rejected")[number % 3])
    for image in made[10:14]:
        await world.registry.images.delete(ADMIN, image.id)
    for image in made[20:26]:  # whose rows stay, as deleted ones
        await world.registry.images.update(ADMIN, image.id, ImageChanges(removed_properties={"os"}, tags=("t2",)))


async def in_pages(world: World, context: Context, query: ImageQuery) -> list[str]:
    """The whole list, laid end to end."""
    ids: list[str] = []
    while page := await world.registry.images.list(context, query):
        ids += [image.id for image in page]
        query = replace(query, marker=page[-1].id)
    return ids


async def listed(world: World) -> dict[tuple[int, str | None], list[str]]:
    """By the filter's number and the project. Each filter with another order."""
    found = {}
    for number, query in enumerate(FILTERS):
        for context in (OWNER, (ADMIN, OTHER, NOBODY)[number % 3]):
            asked = replace(query, sort=SORTS[number % len(SORTS)], limit=7)
            found[number, context.project_id] = await in_pages(world, context, asked)
    return found


async def test_every_page_is_the_same_either_way(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(world)
    monkeypatch.setattr(listing, "LEGS", LONG)
    monkeypatch.setattr(listing, "FIRST_MAX", 12)
    monkeypatch.setattr(narrowing, "FEW_MAX", NEVER)
    walked = await listed(world)
    assert sum(map(bool, walked.values())) > 20
    for way, (legs, few_max) in WAYS.items():
        monkeypatch.setattr(listing, "LEGS", legs)
        monkeypatch.setattr(narrowing, "FEW_MAX", few_max)
        assert await listed(world) == walked, way


async def test_pages_in_the_order_of_changes_are_the_list_whether_all_have_a_time_or_not(world: World) -> None:
    """What has none is older than all that has."""
    await fill(world)
    for is_filled, order in product((True, False), Order):
        if not is_filled:
            async with world.sql.database.write() as connection:
                await connection.execute(update(images).where(images.c.name.is_(None)).values(updated_at=None))
        query = ImageQuery(sort=(("updated_at", order), ("id", order)), all_visibilities=True)
        whole = await world.registry.images.list(ADMIN, query)
        assert len(whole) == 40
        has_time = {image.id: is_filled or image.name is not None for image in whole}
        newest_last = sorted(
            whole, key=lambda image: (has_time[image.id], image.updated_at if has_time[image.id] else T0, image.id)
        )
        assert list(whole) == (newest_last if order is Order.ASCENDING else newest_last[::-1])
        assert await in_pages(world, ADMIN, replace(query, limit=7)) == [image.id for image in whole]


@pytest.mark.parametrize(
    ("is_mariadb", "version", "is_asked"),
    [(True, (10, 5, 28), False), (True, (10, 6, 1), True), (False, (5, 7, 44), False), (False, (8, 0, 36), True)],
)
def test_a_server_that_reads_no_json_is_not_asked(is_mariadb: bool, version: tuple[int, ...], is_asked: bool) -> None:
    dialect = mysql.dialect()
    dialect.server_version_info, dialect.is_mariadb = version, is_mariadb
    assert (next(narrowing.few(dialect, OWNER, FILTERS[0]), None) is not None) is is_asked
