"""How a page is found among many images: by the index of its order, wherever the page begins, in a few statements."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy.dialects import postgresql

from tests.contract.registry.world import ADMIN, OTHER, OWNER, Servers, World, sqlite
from upstream.registry import Filter, ImageQuery, Operator, Order
from upstream.registry.sql import listing, narrowing
from upstream.registry.sql.paging import order_by
from upstream.types import Context

BY_COLUMN = Filter(field="disk_format", operator=Operator.EQ, value=None)
BY_PROPERTY = Filter(field="os", operator=Operator.EQ, value="os", is_property=True)
NO_LEGS = (1, 2)  # of a walk, in which no page fills
QUERIES = {
    "all": ImageQuery(limit=10),
    "a property": ImageQuery(limit=10, filters=(BY_COLUMN, BY_PROPERTY)),
    "a tag": ImageQuery(limit=10, filters=(BY_COLUMN,), tags=("t",)),
    "oldest first": ImageQuery(limit=10, sort=(("created_at", Order.ASCENDING),)),
}


@pytest.mark.parametrize("name", QUERIES)
@pytest.mark.parametrize("context", [ADMIN, OWNER, OTHER], ids=["admin", "owner", "other"])
async def test_sqlite_walks_the_index_of_the_order_and_sorts_nothing_as_a_whole(
    tmp_path: Path, name: str, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does it take an index on what nearly all rows have in common, for images or for what hangs on them."""
    monkeypatch.setattr(narrowing, "FEW_MAX", 10)
    async with sqlite(tmp_path, Servers(tmp_path)) as world:
        await world.fill(100)
        statements = await asked(world, context, QUERIES[name])
    for statement in statements:
        plan = explained(tmp_path / "registry.db", statement)
        assert not [step for step in plan if "_deleted" in step or "os_hidden" in step or "visibility" in step], plan
        if "ORDER BY" in statement:
            assert any("images USING" in step and "INDEX created_at_image_idx" in step for step in plan), plan
            assert "USE TEMP B-TREE FOR ORDER BY" not in plan


async def test_images_that_are_few_by_one_filter_are_looked_up_and_sorted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever index the order, or another filter, has. First by their ids alone, then those of the page."""
    monkeypatch.setattr(listing, "LEGS", NO_LEGS)
    query = ImageQuery(limit=10, filters=(replace(BY_COLUMN, field="owner", value="owner"), BY_PROPERTY))
    async with sqlite(tmp_path, Servers(tmp_path)) as world:
        await world.fill(100)
        *_, page, _ = await asked(world, ADMIN, query)
    plan = explained(tmp_path / "registry.db", page)
    assert [step for step in plan if " images " in step] == [
        "SEARCH images USING INDEX sqlite_autoindex_images_1 (id=?)"
    ] * 2


@pytest.mark.parametrize(("value", "found"), [(None, 10), ("raw", 0)], ids=["many rows fit", "few do"])
async def test_what_many_rows_fit_is_not_asked_before_what_hangs_on_images(
    world: World, value: str | None, found: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is the page asked again for what the answer to a question has said as a whole."""
    monkeypatch.setattr(listing, "LEGS", NO_LEGS)
    monkeypatch.setattr(narrowing, "COMMON", 50)
    query = ImageQuery(limit=10, filters=(replace(BY_COLUMN, value=value), BY_PROPERTY))
    await world.fill(100)
    with world.counted() as statements:
        assert len(await world.registry.images.list(ADMIN, query)) == found
    (question,) = (statement for statement in statements if "HAVING" in statement)
    page = statements[statements.index(question) + 1]
    assert ("image_properties" in question, "image_properties" in page) == ((True, False) if found else (False, True))


@pytest.mark.parametrize("sort", ["created_at", "size"])
async def test_where_nothing_is_few_all_is_read_once_and_nothing_looked_up_for_each_image(
    tmp_path: Path, sort: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "LEGS", NO_LEGS)
    monkeypatch.setattr(listing, "FIRST_MAX", 5)
    monkeypatch.setattr(narrowing, "FEW_MAX", 5)
    tags, order = ("t",), ((sort, Order.DESCENDING),)
    async with sqlite(tmp_path, Servers(tmp_path)) as world:
        await world.fill(100)
        *_, page, _ = await asked(world, OWNER, ImageQuery(limit=10, filters=(BY_PROPERTY,), tags=tags, sort=order))
    plan = explained(tmp_path / "registry.db", page)
    assert {"SCAN image_properties", "SCAN image_tags", "SCAN image_members"} <= set(plan)
    assert not [step for step in plan if "CORRELATED" in step or "created_at_image_idx" in step], plan


@pytest.mark.parametrize("filters", [(), (BY_COLUMN,), (BY_PROPERTY,)], ids=["nothing", "a column", "a property"])
async def test_in_an_order_without_an_index_ids_are_sorted_and_a_page_of_rows_is_read(
    tmp_path: Path, filters: tuple[Filter, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What hangs on images is looked up for the first of them only."""
    monkeypatch.setattr(narrowing, "FEW_MAX", 5)
    query = ImageQuery(limit=10, filters=filters, sort=(("size", Order.DESCENDING),))
    async with sqlite(tmp_path, Servers(tmp_path)) as world:
        await world.fill(100)
        *_, page, _ = await asked(world, ADMIN, query)
    plan = explained(tmp_path / "registry.db", page)
    assert [step for step in plan if " images" in step] == [
        "SCAN images",
        "SEARCH images USING INDEX sqlite_autoindex_images_1 (id=?)",
    ]
    assert "SCAN image_properties" not in plan


async def test_a_page_in_the_middle_begins_where_its_marker_is(tmp_path: Path) -> None:
    async with sqlite(tmp_path, Servers(tmp_path)) as world:
        await world.fill(100)
        marker = (await world.registry.images.list(OWNER, ImageQuery(limit=50)))[-1].id
        statements = await asked(world, OWNER, ImageQuery(limit=10, marker=marker))
    bound, page = (statement for statement in statements if "ORDER BY" in statement)
    for statement, index in ((bound, "COVERING INDEX"), (page, "INDEX")):
        plan = explained(tmp_path / "registry.db", statement)
        assert f"SEARCH images USING {index} created_at_image_idx (created_at<?)" in plan


@pytest.mark.parametrize(
    ("legs", "few_max", "found_by"),
    [((1024, 8192), 10, 2), ((10, 8192), 10, 4), (NO_LEGS, 500, 2), (NO_LEGS, 10, 2)],
    ids=["soon", "in two legs", "few", "all are read"],
)
@pytest.mark.parametrize(
    ("filters", "asked_first"),
    [((), 1), ((BY_PROPERTY,), 3), ((BY_COLUMN, BY_PROPERTY), 4)],
    ids=["no filter", "a property", "a column and a property"],
)
async def test_a_page_costs_a_handful_of_statements_however_it_is_found(
    world: World,
    filters: tuple[Filter, ...],
    asked_first: int,
    legs: tuple[int, int],
    few_max: int,
    found_by: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One for what hangs on its images, one for a marker, two for each leg of a walk; where that leads nowhere, one for
    each kind of filter, that of visibility too, one that tells which of them to ask first, and one for the page.
    """
    monkeypatch.setattr(narrowing, "FEW_MAX", few_max)
    monkeypatch.setattr(listing, "LEGS", legs)
    await world.fill(200)
    marker = None
    most = 1 + found_by + (asked_first + 1 if legs is NO_LEGS else 0)
    for of_marker in (0, 1, 1):
        with world.counted() as statements:
            page = await world.registry.images.list(OWNER, ImageQuery(limit=50, marker=marker, filters=filters))
        assert len(page) == 50
        assert 2 <= len(of_images(statements)) <= most + of_marker
        marker = page[-1].id


async def test_a_get_is_one_statement(world: World) -> None:
    await world.fill(1)
    (image,) = await world.registry.images.list(OWNER, ImageQuery())
    with world.counted() as statements:
        assert await world.registry.images.get(OWNER, image.id) == image
    assert len(of_images(statements)) == 1


def test_postgresql_is_told_of_nulls_only_where_there_may_be_any() -> None:
    """Its indexes are of another order of NULLs than ours: told of it, it uses none."""
    terms = order_by(
        (("created_at", Order.DESCENDING), ("name", Order.DESCENDING), ("id", Order.ASCENDING)), "postgresql"
    )
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    said = [str(term.compile(dialect=dialect)) for term in terms]
    assert said == ["images.created_at DESC", "images.name DESC NULLS LAST", "images.id ASC"]


async def asked(world: World, context: Context, query: ImageQuery) -> Sequence[str]:
    with world.counted() as statements:
        await world.registry.images.list(context, query)
    return of_images(statements)


def of_images(statements: Sequence[str]) -> Sequence[str]:
    return [statement for statement in statements if "image" in statement]


def explained(path: Path, statement: str) -> Sequence[str]:
    with closing(sqlite3.connect(path)) as connection:
        nothing = [""] * statement.count("?")
        return [str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", nothing)]
