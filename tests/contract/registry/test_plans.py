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
from upstream.registry.sql import narrowing
from upstream.registry.sql.paging import order_by
from upstream.types import Context

BY_COLUMN = Filter(field="disk_format", operator=Operator.EQ, value=None)
BY_PROPERTY = Filter(field="os", operator=Operator.EQ, value="os", is_property=True)
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
            assert any("images USING INDEX created_at_image_idx" in step for step in plan), plan
            assert "USE TEMP B-TREE FOR ORDER BY" not in plan


async def test_images_that_are_few_by_one_filter_are_looked_up_and_sorted(tmp_path: Path) -> None:
    """Whatever index the order, or another filter, has."""
    query = ImageQuery(limit=10, filters=(replace(BY_COLUMN, field="owner", value="owner"), BY_PROPERTY))
    async with sqlite(tmp_path, Servers(tmp_path)) as world:
        await world.fill(100)
        *_, page, _ = await asked(world, ADMIN, query)
    plan = explained(tmp_path / "registry.db", page)
    assert [step for step in plan if " images " in step] == [
        "SEARCH images USING INDEX sqlite_autoindex_images_1 (id=?)"
    ]


async def test_a_page_in_the_middle_begins_where_its_marker_is(tmp_path: Path) -> None:
    async with sqlite(tmp_path, Servers(tmp_path)) as world:
        await world.fill(100)
        marker = (await world.registry.images.list(OWNER, ImageQuery(limit=50)))[-1].id
        statements = await asked(world, OWNER, ImageQuery(limit=10, marker=marker))
    (page,) = (statement for statement in statements if "ORDER BY" in statement)
    plan = explained(tmp_path / "registry.db", page)
    assert any("SEARCH images USING INDEX created_at_image_idx (created_at<?)" in step for step in plan), plan


@pytest.mark.parametrize("few_max", [10, 500], ids=["many", "few"])
@pytest.mark.parametrize(
    ("filters", "asked_first"),
    [((), 0), ((BY_PROPERTY,), 1), ((BY_COLUMN, BY_PROPERTY), 2)],
    ids=["no filter", "a property", "a column and a property"],
)
async def test_a_page_costs_two_statements_and_one_more_for_a_marker_and_for_each_kind_of_filter(
    world: World, filters: tuple[Filter, ...], asked_first: int, few_max: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(narrowing, "FEW_MAX", few_max)
    await world.fill(200)
    marker = None
    for most in (2, 3, 3):
        with world.counted() as statements:
            page = await world.registry.images.list(OWNER, ImageQuery(limit=50, marker=marker, filters=filters))
        assert len(page) == 50
        assert 2 <= len(of_images(statements)) <= most + asked_first
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
