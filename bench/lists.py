"""`python -m bench.lists`: what pages of 100 cost, by every pair of filters, every order, and from deep in the list.

The registry is asked itself, without HTTP, for an admin and for members of a project with many and with few images.
Each list is asked a few times, for its median: the first time pays for the text of its statements.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import fields, replace
from datetime import UTC, timedelta
from itertools import combinations, product
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from bench.lists_rows import BIG, FIRST, SMALL, fill
from tests.content import MIB
from tests.peers import MariaDB, PostgreSQL
from upstream.registry import Filter, ImageQuery, Operator, Order
from upstream.registry.config import RegistryConfig
from upstream.registry.sql.registry import SqlRegistry, open_registry
from upstream.types import Context, Visibility

LIMIT, BUDGET_MS = 100, 50.0
SORT_KEYS = ("created_at", "updated_at", "name", "size", "status", "disk_format", "id")
WHO = {
    "admin": Context(user_id="root", project_id="admin", is_admin=True),
    "member of a big project": Context(user_id="anna", project_id=BIG),
    "member of a small one": Context(user_id="bert", project_id=SMALL),
}


class Listing(NamedTuple):
    kind: str
    name: str
    query: ImageQuery


class Measured(NamedTuple):
    ms: float
    kind: str
    name: str
    images: int


def _has(field: str, value: Any, operator: Operator = Operator.EQ, *, is_property: bool = False) -> ImageQuery:
    return ImageQuery(filters=(Filter(field=field, operator=operator, value=value, is_property=is_property),))


def _says(name: str, value: str) -> ImageQuery:
    return _has(name, value, is_property=True)


def filters(count: int) -> Mapping[str, ImageQuery]:
    """By name. What they fit stands in `lists_rows`; `old` is what only the oldest twentieth has."""
    whole = timedelta(seconds=count)
    late, early = ((FIRST + whole * part).replace(tzinfo=UTC) for part in (0.9, 0.05))
    seen = {f"visibility {each}": ImageQuery(visibility=each) for each in Visibility}
    return {
        **seen,
        "all visibilities": ImageQuery(all_visibilities=True),
        "shared, pending": ImageQuery(visibility=Visibility.SHARED, member_status="pending"),
        **{f"status {each}": _has("status", each) for each in ("active", "queued", "pending_delete")},
        **{f"owner {each}": _has("owner", each) for each in (BIG, SMALL, "nobody")},
        **{f"name {each}": _has("name", each) for each in ("snapshot", f"image {count // 5 * 2 + 1}", "none")},
        **{f"disk_format {each}": _has("disk_format", each) for each in ("qcow2", "iso", "vhdx")},
        "disk_format vmdk, old": _has("disk_format", "vmdk"),
        **{f"container_format {each}": _has("container_format", each) for each in ("bare", "docker")},
        **{f"tag {each}": ImageQuery(tags=(each,)) for each in ("ci", "golden", "none")},
        "tag legacy, old": ImageQuery(tags=("legacy",)),
        **{f"os_distro {each}": _says("os_distro", each) for each in ("ubuntu", "none")},
        "os_distro centos, old": _says("os_distro", "centos"),
        "architecture aarch64": _says("architecture", "aarch64"),
        "hw_disk_bus scsi": _says("hw_disk_bus", "scsi"),
        "build 42": _says("build", "42"),
        "size_min, half": _has("size", count * MIB // 2, Operator.GTE),
        "size_min, 1 %": _has("size", count * MIB // 100 * 99, Operator.GTE),
        "size_max, 5 %": _has("size", count * MIB // 20, Operator.LTE),
        "created late": _has("created_at", late, Operator.GTE),
        "created early": _has("created_at", early, Operator.LT),
        "updated late": _has("updated_at", late, Operator.GTE),
        "updated early": _has("updated_at", early, Operator.LT),
        "os_hidden": ImageQuery(os_hidden=True),
    }


def listings(count: int) -> Iterator[Listing]:
    every = filters(count)
    yield Listing("no filter", "no filter", ImageQuery(limit=LIMIT))
    for name, query in every.items():
        yield Listing("one filter", name, replace(query, limit=LIMIT))
    for (one, first), (two, second) in combinations(every.items(), 2):
        if not (_names_visibility(first) and _names_visibility(second)):
            yield Listing("two filters", f"{one} & {two}", replace(_both(first, second), limit=LIMIT))
    for (name, query), key, order in product({"no filter": ImageQuery(), **every}.items(), SORT_KEYS, Order):
        yield Listing("an order", f"{name}, by {key} {order}", replace(query, sort=((key, order),), limit=LIMIT))


def _names_visibility(query: ImageQuery) -> bool:
    return query.all_visibilities or query.visibility is not None


def _both(one: ImageQuery, two: ImageQuery) -> ImageQuery:
    usual = ImageQuery()
    said = {
        each.name: getattr(two, each.name)
        for each in fields(two)
        if getattr(two, each.name) != getattr(usual, each.name)
    }
    return replace(one, **{**said, "filters": one.filters + two.filters, "tags": one.tags + two.tags})


async def measured(registry: SqlRegistry, count: int, times: int, wanted: str = "") -> AsyncIterator[Measured]:
    """A list, and where it is long enough the same from its middle on."""
    for listing, (who, context) in product(listings(count), WHO.items()):
        kind, name, query = listing.kind, f"{who}: {listing.name}", listing.query
        if wanted not in name:
            continue
        ms, page = await _median_ms(registry, context, query, times)
        yield Measured(ms, kind, name, len(page))
        if kind != "two filters" and len(page) == LIMIT:
            every = await registry.images.list(context, replace(query, limit=count // 20))
            marked = replace(query, marker=every[-1].id)
            ms, page = await _median_ms(registry, context, marked, times)
            yield Measured(ms, f"{kind}, deep", f"{name}, behind {len(every)}", len(page))


async def _median_ms(
    registry: SqlRegistry, context: Context, query: ImageQuery, times: int
) -> tuple[float, Sequence[object]]:
    took: list[float] = []
    page: Sequence[object] = ()
    for _ in range(times):
        began = time.perf_counter()
        page = await registry.images.list(context, query)
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took), page


@contextmanager
def _databases(folder: Path) -> Iterator[Mapping[str, str]]:
    """URLs of empty ones."""
    with ExitStack() as stack:
        postgresql = stack.enter_context(PostgreSQL(folder / "postgresql"))
        mariadb = stack.enter_context(MariaDB(folder / "mariadb", database="glance", charset="utf8mb3"))
        yield {"SQLite": f"sqlite:///{folder}/lists.db", "PostgreSQL": postgresql.url, "MariaDB": mariadb.url}


async def _measure(url: str, count: int, times: int, wanted: str) -> Sequence[Measured]:
    await fill(url, count)
    async with open_registry(RegistryConfig(url=url)) as registry:
        return [each async for each in measured(registry, count, times, wanted)]


def told(name: str, found: Sequence[Measured], worst: int) -> Iterator[str]:
    for kind in dict.fromkeys(each.kind for each in found):
        ms = sorted(each.ms for each in found if each.kind == kind)
        over = sum(each > BUDGET_MS for each in ms)
        median, most = statistics.median(ms), ms[len(ms) * 95 // 100]
        yield f"{name}, {kind}: {len(ms)} lists, median {median:.1f}, p95 {most:.1f} ms, {over} over {BUDGET_MS:.0f} ms"
    for each in sorted(found, reverse=True)[:worst]:
        yield f"{name}: {each.ms:.1f} ms, {each.images} images: {each.kind}: {each.name}"


def main(
    images: Annotated[int, typer.Option(help="How many there are.")] = 100_000,
    times: Annotated[int, typer.Option(min=1, help="How often each list is asked.")] = 3,
    worst: Annotated[int, typer.Option(help="How many of the slowest are named.")] = 20,
    database: Annotated[str, typer.Option(help="SQLite, PostgreSQL or MariaDB; none named: all.")] = "",
    only: Annotated[str, typer.Option(help="Part of the names of those that are asked.")] = "",
) -> None:
    with tempfile.TemporaryDirectory(prefix="glint-lists-") as folder, _databases(Path(folder)) as urls:
        for name, url in urls.items():
            if database in {"", name}:
                for line in told(name, asyncio.run(_measure(url, images, times, only)), worst):
                    typer.echo(line)


if __name__ == "__main__":
    typer.run(main)
