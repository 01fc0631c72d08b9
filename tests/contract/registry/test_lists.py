"""Filters, order and pages."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.registry.world import ADMIN, OWNER, T0, World, new_image
from upstream.errors import Invalid
from upstream.registry import Filter, ImageChanges, ImageQuery, Operator, Order, Registry
from upstream.types import Context, Image, Status, Visibility

HOSTILE = ["' OR '1'='1", "'; DROP TABLE images; --", '" OR ""="', "%", "_", "\\", "a\0b", ":ids", "?", "%s", "{}"]


def where(field: str, operator: Operator, value: Any, *, is_property: bool = False) -> ImageQuery:
    return ImageQuery(filters=(Filter(field=field, operator=operator, value=value, is_property=is_property),))


async def names(registry: Registry, query: ImageQuery, context: Context = OWNER) -> list[str]:
    return sorted(each.name or "" for each in await registry.images.list(context, query))


TICK = timedelta(seconds=1)  # told apart by all of them

FOUND: Sequence[tuple[ImageQuery, list[str]]] = [
    (where("name", Operator.EQ, "b"), ["b"]),
    (where("name", Operator.IN, ("a", "c", "zzz")), ["a", "c"]),
    (where("name", Operator.IN, ()), []),
    (where("name", Operator.NEQ, "b"), ["a", "c"]),
    (where("size", Operator.GTE, 20), ["b", "c"]),
    (where("size", Operator.LTE, 20), ["a", "b"]),
    (where("size", Operator.LT, 20), ["a"]),
    (where("size", Operator.GT, 20), ["c"]),
    (where("disk_format", Operator.EQ, None), ["c"]),
    (where("disk_format", Operator.NEQ, None), ["a", "b"]),
    (where("status", Operator.EQ, Status.QUEUED), ["b"]),
    (where("protected", Operator.EQ, True), ["c"]),
    (where("created_at", Operator.GT, T0), ["b", "c"]),
    (where("created_at", Operator.GTE, T0), ["a", "b", "c"]),
    (where("created_at", Operator.EQ, T0 + TICK), ["b"]),
    (where("os", Operator.EQ, "linux", is_property=True), ["a", "b"]),
    (where("os", Operator.IN, ("bsd", "mac"), is_property=True), ["c"]),
    (where("absent", Operator.EQ, "linux", is_property=True), []),
    (where("name", Operator.EQ, "a", is_property=True), []),
    (ImageQuery(tags=("x",)), ["a", "b"]),
    (ImageQuery(tags=("x", "y")), ["b"]),
    (ImageQuery(tags=("x", "x")), ["a", "b"]),
    (ImageQuery(tags=("x", "absent")), []),
    (ImageQuery(os_hidden=True), ["hidden"]),
    (ImageQuery(), ["a", "b", "c"]),
]


async def test_a_filter_finds_what_it_says(registry: Registry) -> None:
    """`killed` images are in no list; hidden ones only when asked for."""
    for image in (
        new_image(name="a", size_bytes=10, disk_format="raw", properties={"os": "linux"}, tags=("x",)),
        new_image(
            name="b",
            size_bytes=20,
            disk_format="qcow2",
            properties={"os": "linux", "v": "2"},
            tags=("y", "x"),
            status=Status.QUEUED,
            created_at=T0 + TICK,
        ),
        new_image(name="c", size_bytes=30, properties={"os": "bsd"}, protected=True, created_at=T0 + 2 * TICK),
        new_image(name="hidden", os_hidden=True),
        new_image(name="killed", status=Status.KILLED),
    ):
        await registry.images.create(OWNER, image)
    for query, found in FOUND:
        assert await names(registry, query) == found, query


async def test_a_filter_finds_texts_letter_by_letter(registry: Registry) -> None:
    """MariaDB's own comparison takes all of these for one."""
    texts = ("foo", "Foo", "foo ", "fóo")
    for text in texts:
        await registry.images.create(OWNER, new_image(name=text, properties={"p": text}, tags=(text,)))
    for text in texts:
        others = sorted({*texts} - {text})
        assert await names(registry, where("name", Operator.EQ, text)) == [text]
        assert await names(registry, where("name", Operator.NEQ, text)) == others
        assert await names(registry, where("name", Operator.IN, (text, "bar"))) == [text]
        assert await names(registry, where("p", Operator.EQ, text, is_property=True)) == [text]
        assert await names(registry, where("p", Operator.IN, (text, "bar"), is_property=True)) == [text]
        assert await names(registry, where("P", Operator.EQ, text, is_property=True)) == []
        assert await names(registry, ImageQuery(tags=(text,))) == [text]


async def test_filters_are_all_of_them(registry: Registry) -> None:
    for number in range(4):
        properties = {"half": str(number // 2), "parity": str(number % 2)}
        await registry.images.create(OWNER, new_image(name=str(number), properties=properties))
    both = (
        Filter(field="half", operator=Operator.EQ, value="1", is_property=True),
        Filter(field="parity", operator=Operator.EQ, value="0", is_property=True),
    )
    assert await names(registry, ImageQuery(filters=both)) == ["2"]


async def test_a_removed_property_or_tag_is_not_found_by(registry: Registry) -> None:
    image = await registry.images.create(OWNER, new_image(properties={"a": "1"}, tags=("t",)))
    await registry.images.update(OWNER, image.id, ImageChanges(removed_properties=("a",), tags=()))
    assert await names(registry, where("a", Operator.EQ, "1", is_property=True)) == []
    assert await names(registry, ImageQuery(tags=("t",))) == []


@pytest.mark.parametrize("text", HOSTILE)
async def test_hostile_text_in_a_filter_is_only_text(registry: Registry, text: str) -> None:
    """It finds nothing but itself, and harms nothing."""
    await registry.images.create(OWNER, new_image(name="safe", properties={"a": "1"}, tags=("t",)))
    queries = (
        where("name", Operator.EQ, text),
        where("name", Operator.IN, (text, text + "x")),
        where(text, Operator.EQ, "1", is_property=True),
        where("a", Operator.EQ, text, is_property=True),
        ImageQuery(tags=(text,)),
    )
    for query in queries:
        assert await names(registry, query) == []
    if "\0" not in text:
        await registry.images.create(OWNER, new_image(name=text, properties={text: "1", "a": text}, tags=(text,)))
        for query in queries:
            assert await names(registry, query) == [text]
    with pytest.raises(Invalid):
        await registry.images.list(OWNER, where(text, Operator.EQ, "1"))
    with pytest.raises(Invalid):
        await registry.images.list(OWNER, ImageQuery(sort=((text, Order.ASCENDING),)))
    with pytest.raises(Invalid):
        await registry.images.list(OWNER, ImageQuery(marker=text))
    assert "safe" in await names(registry, ImageQuery())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("size", 2**63),
        ("min_ram", 2**31),
        ("min_disk", -(2**31) - 1),
        ("visibility", "weird"),
        ("created_at", "yesterday"),
        ("protected", "perhaps"),
    ],
)
async def test_a_value_that_its_column_cannot_hold_is_invalid(registry: Registry, field: str, value: object) -> None:
    with pytest.raises(Invalid):
        await registry.images.list(OWNER, where(field, Operator.EQ, value))
    image = await registry.images.create(OWNER, new_image())
    with pytest.raises(Invalid):
        await registry.images.update(OWNER, image.id, ImageChanges(columns={field: value}))
    assert await registry.images.get(OWNER, image.id) == image


async def test_a_marker_must_name_an_image(registry: Registry) -> None:
    image = await registry.images.create(OWNER, new_image())
    await registry.images.delete(OWNER, image.id)
    for marker in (image.id, str(uuid4())):
        with pytest.raises(Invalid, match=marker):
            await registry.images.list(OWNER, ImageQuery(marker=marker))


async def test_the_newest_come_first_unless_asked_otherwise(registry: Registry) -> None:
    ages = [new_image(name=str(days), created_at=T0 - timedelta(days=days)) for days in (2, 0, 1)]
    for image in ages:
        await registry.images.create(OWNER, image)
    assert [each.name for each in await registry.images.list(OWNER, ImageQuery())] == ["0", "1", "2"]
    oldest = ImageQuery(sort=(("created_at", Order.ASCENDING),), limit=2)
    assert [each.name for each in await registry.images.list(OWNER, oldest)] == ["2", "1"]


SORTED = ("name", "size", "disk_format", "created_at", "status", "id")
MAYBE = st.sampled_from
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "name": MAYBE([None, "", "a", "A", "ä", "b"]),
            "size_bytes": MAYBE([None, 0, 1, 2**40]),
            "disk_format": MAYBE([None, "", "raw"]),
            "created_at": MAYBE([T0, T0 + TICK]),
            "status": MAYBE([Status.ACTIVE, Status.QUEUED]),
        },
    ),
    max_size=9,
)
SORTS = st.lists(st.tuples(MAYBE(SORTED), MAYBE(list(Order))), min_size=1, max_size=3, unique_by=lambda key: key[0])


def in_order(world: World, rows: Sequence[Image], sort: Sequence[tuple[str, Order]]) -> bool:
    """Whether each row may follow the one before it: NULLs are below everything."""
    column = {"size": "size_bytes"}
    for before, after in pairwise(rows):
        for name, order in sort:
            one, two = (_rank(world, getattr(each, column.get(name, name))) for each in (before, after))
            if one != two:
                is_up = one is None or (two is not None and one < two)
                if is_up != (order is Order.ASCENDING):
                    return False
                break
    return True


def _rank(world: World, value: Any) -> Any:
    return world.letters(value) if isinstance(value, str) else value


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(rows=ROWS, sort=SORTS, limit=st.integers(1, 4))
async def test_pages_laid_end_to_end_are_the_list(
    world: World, rows: list[dict[str, Any]], sort: list[tuple[str, Order]], limit: int
) -> None:
    """No row twice and none lost, with NULLs and ties in every key, whichever way each is sorted."""
    context = Context(project_id=str(uuid4()))
    made = {
        (await world.registry.images.create(context, new_image(owner=context.project_id, **row))).id for row in rows
    }
    whole = await world.registry.images.list(context, ImageQuery(sort=tuple(sort)))
    assert {each.id for each in whole} == made
    assert in_order(world, whole, sort)
    paged: list[Image] = []
    marker = None
    while page := await world.registry.images.list(context, ImageQuery(sort=tuple(sort), limit=limit, marker=marker)):
        assert len(page) <= limit
        paged += page
        marker = page[-1].id
    assert paged == list(whole)


async def test_a_long_list_costs_a_handful_of_statements(world: World) -> None:
    """3,000 rows: one statement for a page, one for its children, one for the marker, however long the page."""
    await world.fill(10_000)
    if world.sql.database.dialect == "postgresql":  # as it does by itself, within a minute
        async with world.sql.database.write() as connection:
            await connection.exec_driver_sql("ANALYZE")
    marker = None
    for _ in range(3):
        with world.counted() as statements:
            page = await world.registry.images.list(OWNER, ImageQuery(limit=500, marker=marker))
        assert len(page) == 500
        assert all(len(each.properties) == 2 and each.tags == ("t",) for each in page)
        assert len(statements) <= 4
        marker = page[-1].id
    with world.counted() as statements:
        assert len(await world.registry.images.list(ADMIN, ImageQuery())) == 10_000
    assert len(statements) <= 10_000 / 500 + 2


async def test_a_list_says_what_get_says(registry: Registry) -> None:
    image = await registry.images.create(
        OWNER, new_image(visibility=Visibility.SHARED, properties={"a": None, "b": "2"}, tags=("z", "a"))
    )
    assert await registry.images.list(OWNER, ImageQuery()) == [image]
