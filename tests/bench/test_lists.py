"""The matrix of lists, over few images: what it asks has answers, and is what its name says."""

from pathlib import Path

from bench.lists import filters, listings, measured, told
from bench.lists_rows import fill
from tests.tables import sqlite_url
from upstream.registry.config import RegistryConfig
from upstream.registry.sql.registry import open_registry

COUNT = 2000


async def test_every_filter_is_asked_alone_in_pairs_in_all_orders_and_from_the_middle(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "lists.db")
    await fill(url, COUNT)
    async with open_registry(RegistryConfig(url=url)) as registry:
        found = [each async for each in measured(registry, COUNT, 1, "admin: status queued")]
    kinds = {kind: [each for each in found if each.kind == kind] for kind in ("one filter", "two filters", "an order")}
    names = list(filters(COUNT))
    assert [len(each) for each in kinds.values()] == [1, len(names[names.index("status queued") + 1 :]), 14]
    assert kinds["one filter"][0].images == COUNT // 100
    assert all(each.images == COUNT // 100 for each in kinds["an order"])
    assert len([line for line in told("SQLite", found, 2) if "ms" in line]) == len(kinds) + 2


def test_no_list_names_two_visibilities() -> None:
    names = [each.name for each in listings(COUNT)]
    assert len(names) == len(set(names)) > 1000
    assert not [name for name in names if name.count("visib") > 1]
