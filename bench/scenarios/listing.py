"""`listing`: a page of 100 out of very many images, by the filters that people use. Glint on the databases it knows."""

import asyncio
import itertools
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Table, text

from bench.glint import glint_process
from bench.load import Requests
from bench.measuring import Run, WrongBytes, measure
from bench.places import GLINT
from bench.results import Column
from bench.session import Scenario, Session
from tests.content import MIB
from tests.glint import Glint
from tests.peers import PostgreSQL
from upstream.registry.config import RegistryConfig
from upstream.registry.sql import OPTIONAL, Database
from upstream.registry.sql.optional_indexes import add
from upstream.registry.sql.registry import open_registry
from upstream.registry.sql.tables import image_properties, image_tags, images

NAME = "listing"
EXPECTED = """\
Without a filter a page is two statements: 100 images by the index of the order, then what hangs on them. With one
that one in six fits, the walk looks at the newest 512 images; with one that one in fifty fits it goes on, and finds
its page among 5,000. What almost nothing fits is not found on 512: then it is asked for its images, for which all
rows of properties are read once, most of what such a page takes; with the optional index no more rows than fit it. On
PostgreSQL a statement is a round trip besides, and so are a transaction's begin and end."""
ON_SQLITE, ON_POSTGRESQL = f"{GLINT}, SQLite", f"{GLINT}, PostgreSQL"
_ROWS_AT_ONCE = 2000
_PAGE = 100
_TAGGED, _RARE = 50, 5000  # one image in so many
_RARELY = "a format and a property, which one in 5,000 has"
_QUERIES = {
    "no filter": f"limit={_PAGE}",
    "a format and a property, which one in 6 has": f"limit={_PAGE}&disk_format=qcow2&os_distro=ubuntu",
    "a format and a tag, which one in 50 has": f"limit={_PAGE}&disk_format=raw&tag=golden",
    _RARELY: f"limit={_PAGE}&disk_format=raw&build=42",
}
_WITH_INDEXES = {f"{_RARELY}, with optional indexes": _QUERIES[_RARELY]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    images: int
    seconds: float
    rounds: int


SMALL = Load(images=600, seconds=0.6, rounds=1)
REAL = Load(images=100_000, seconds=2.0, rounds=3)


def run(session: Session, load: Load) -> list[Run]:
    """Interleaved. Raises WrongBytes if a page has not the images that it must have."""
    runs: list[Run] = []
    with _servers(session, load) as (servers, urls):
        for case, query in (_QUERIES | _WITH_INDEXES).items():
            if case in _WITH_INDEXES:
                for url in urls.values():
                    asyncio.run(_add_indexes(url))
            for turn in range(1, load.rounds + 1):
                for name, server in servers.items():
                    job = Requests(host="127.0.0.1", port=server.port, path=f"/v2/images?{query}", seconds=load.seconds)
                    done, outcome = measure(NAME, name, server, [job], cores=session.cores, turn=turn, case=case)
                    _check(name, case, outcome.sample, load.images)
                    done = replace(done, verified=done.bodies)
                    session.add(runs, done, f"p50 {done.wait_p50_s * 1000:.1f} ms, p99 {done.wait_p99_s * 1000:.1f} ms")
    return runs


@contextmanager
def _servers(session: Session, load: Load) -> Iterator[tuple[dict[str, Glint], dict[str, str]]]:
    """The services, and the URLs of their databases."""
    with ExitStack() as stack:
        folder = stack.enter_context(session.folder())
        postgresql = PostgreSQL(folder / "postgresql")
        stack.callback(postgresql.close)
        postgresql.start()
        urls = {ON_SQLITE: f"sqlite:///{folder}/many.db", ON_POSTGRESQL: postgresql.url}
        found = {}
        for number, (name, url) in enumerate(urls.items()):
            asyncio.run(_fill(url, load.images))
            settings = {"registry.url": url}
            found[name] = stack.enter_context(glint_process(folder / f"glint{number}", settings=settings))
        yield found, urls


async def _add_indexes(url: str) -> None:
    """Beside the running service, as an operator does it."""
    async with Database.open(RegistryConfig(url=url)) as database:
        assert len([index async for index in add(database)]) == len(OPTIONAL)


async def _fill(url: str, count: int) -> None:
    """Past the registry, which would take a transaction for each; statistics are as a database has them after a day."""
    async with open_registry(RegistryConfig(url=url)) as registry, registry.database.write() as connection:
        for numbers in _batched(count):
            rows = [_rows(number) for number in numbers]
            for table in (images, image_properties, image_tags):
                values = list(itertools.chain.from_iterable(row[table] for row in rows))
                if values:
                    await connection.execute(table.insert(), values)
        await connection.execute(text("ANALYZE"))


def _batched(count: int) -> Iterator[Sequence[int]]:
    return (range(start, min(count, start + _ROWS_AT_ONCE)) for start in range(0, count, _ROWS_AT_ONCE))


def _rows(number: int) -> Mapping[Table, Sequence[Mapping[str, Any]]]:
    """An image and what hangs on it. Neighbours differ in all that is filtered by."""
    image_id = str(uuid.UUID(int=number))
    at = datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None) + timedelta(seconds=number)
    alive = {"created_at": at, "updated_at": at, "deleted": False}
    image = {
        "id": image_id,
        "name": f"image {number}",
        "status": "active",
        "visibility": "public",
        "owner": f"project {number % 100}",
        "size": MIB,
        "disk_format": "qcow2" if number % 2 else "raw",
        "container_format": "bare",
        "min_disk": 0,
        "min_ram": 0,
        "protected": False,
        "os_hidden": False,
        **alive,
    }
    distro = ("debian", "ubuntu", "rocky")[number % 3]
    said = {"os_distro": distro, "architecture": "x86_64", "build": str(number % _RARE)}
    properties = [{"image_id": image_id, "name": name, "value": value, **alive} for name, value in said.items()]
    tagged = ["golden"] if number % _TAGGED == 0 else []
    return {
        images: [image],
        image_properties: properties,
        image_tags: [{"image_id": image_id, "value": tag, **alive} for tag in ("bench", *tagged)],
    }


def _check(server: str, case: str, body: str, count: int) -> None:
    newest = itertools.islice((number for number in reversed(range(count)) if _fits(case, number)), _PAGE)
    if [image["id"] for image in json.loads(body)["images"]] != [str(uuid.UUID(int=number)) for number in newest]:
        raise WrongBytes(f"{server} answered another page: {case}")


def _fits(case: str, number: int) -> bool:
    if case.endswith("one in 6 has"):
        return number % 2 == 1 and number % 3 == 1
    if case.endswith("one in 50 has"):
        return number % _TAGGED == 0
    return number % _RARE == 42 if case.startswith(_RARELY) else True


SCENARIO = Scenario(
    name=NAME,
    title="Listing: a page of 100 out of 100,000 images",
    expected=EXPECTED,
    small=SMALL,
    real=REAL,
    run=run,
    columns=(
        Column("p50 ms", lambda run: run.wait_p50_s * 1000, ".1f"),
        Column("p99 ms", lambda run: run.wait_p99_s * 1000, ".1f"),
        Column("CPU-s/1000", lambda run: run.cpu_s_1000, ".2f"),
    ),
    ours=(ON_POSTGRESQL,),
    theirs=(ON_SQLITE,),
    ratios=("p50 ms",),
    plots=("p50 ms",),
    disk_bytes=lambda load: load.images * 4096 + 256 * MIB,
)
