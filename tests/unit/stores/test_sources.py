"""Several locations of one image: which is asked, and which is asked next."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from metrics import Instruments
from tests.contract.stores.peers import arriving
from tests.origin import MIB, Fault, Gate, Noise, Origin
from upstream.errors import DataNotFound, Denied, Unavailable, UpstreamError, WrongLength
from upstream.stores import LocationsSource, Stores, StoresConfig, open_stores
from upstream.stores.overlap import OVERLAP_BYTES
from upstream.types import Location

DISK = Noise(2 * MIB, seed=11)
SIZE = DISK.size_bytes
NAMES = ("one", "two", "three")


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as opened:
        for name in NAMES:
            opened.add(name, DISK)
        yield opened


@pytest.fixture
async def stores(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Stores]:
    """The origin is given up soon only where the test makes it silent."""
    fault = request.node.callspec.params.get("fault") if hasattr(request.node, "callspec") else None
    silent_s = 30 if fault is None or fault.gate is None else 1.5
    backends = {
        "web": {"kind": "http", "connect_s": silent_s, "first_byte_s": silent_s},
        "local": {"kind": "file", "dir": tmp_path / "local"},
    }
    async with open_stores(StoresConfig.model_validate({"backends": backends}), Instruments()) as opened:
        yield opened


def source_of(stores: Stores, origin: Origin, *names: str) -> LocationsSource:
    locations = [Location(url=origin.url(name), id=number) for number, name in enumerate(names)]
    return stores.source(locations, SIZE)


def gets(origin: Origin) -> list[int]:
    return [origin.counts(name).gets for name in NAMES]


async def read(source: LocationsSource, offset: int = 0, stop: int | None = None) -> bytes:
    async with source(offset, stop) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def read_on(source: LocationsSource) -> bytes:
    """As a fill does, without its pauses."""
    got = bytearray()
    while len(got) < SIZE:
        try:
            async with source(len(got)) as chunks:
                async for chunk in chunks:
                    got += chunk
        except (Unavailable, WrongLength):
            continue
    return bytes(got)


async def test_one_location_is_read_until_it_disappoints(stores: Stores, origin: Origin) -> None:
    source = source_of(stores, origin, "one", "two")

    assert await read(source) == DISK.read()
    assert await read(source, 5, 10) == DISK.read(5, 10)
    assert (gets(origin), origin.counts("one").ranges) == ([2, 0, 0], [None, "bytes=5-9"])


async def test_a_location_that_refuses_is_not_the_first_to_be_asked_again(stores: Stores, origin: Origin) -> None:
    source = source_of(stores, origin, "one", "two", "three")
    origin.script("one", Fault(status=503))

    for offset in (0, 5, 10):
        assert await read(source, offset) == DISK.read(offset)
    assert gets(origin) == [1, 3, 0]


async def test_a_read_goes_on_at_the_next_location_where_the_last_one_broke_off(stores: Stores, origin: Origin) -> None:
    source = source_of(stores, origin, "one", "two", "three")
    for name in NAMES:
        origin.script(name, Fault(cut_at=MIB // 2))

    assert await read_on(source) == DISK.read()
    assert gets(origin) == [2, 1, 1]
    step = MIB // 2 - OVERLAP_BYTES
    assert [origin.counts(name).ranges[-1] for name in NAMES] == [
        f"bytes={3 * step}-",
        f"bytes={step}-",
        f"bytes={2 * step}-",
    ]
    assert sum(origin.counts(name).sent_bytes for name in NAMES) == SIZE + 3 * OVERLAP_BYTES


async def test_where_there_is_one_location_it_is_asked_again_with_its_validator(stores: Stores, origin: Origin) -> None:
    origin.script("one", Fault(cut_at=MIB), Fault(cut_at=MIB // 2))

    assert await read_on(source_of(stores, origin, "one")) == DISK.read()
    asked = [request.headers.get("if-range") for request in origin.counts("one").requests]
    assert asked == [None, DISK.etag, DISK.etag]


async def test_a_location_whose_object_changed_gives_way_to_another(stores: Stores, origin: Origin) -> None:
    source = source_of(stores, origin, "one", "two")
    async with source(0) as chunks:
        first = await anext(chunks)
    origin.add("one", Noise(SIZE, seed=12))

    assert first + await read(source, len(first)) == DISK.read()
    assert (origin.counts("one").gets, origin.counts("two").gets) == (1, 1)


async def test_a_location_with_another_size_is_passed_over_before_its_first_byte(
    stores: Stores, origin: Origin
) -> None:
    origin.add("one", Noise(SIZE + 1))
    origin.add("two", Noise(SIZE - 1))

    assert await read(source_of(stores, origin, "one", "two", "three")) == DISK.read()
    with pytest.raises(WrongLength):
        async with source_of(stores, origin, "one", "two")(0):
            raise AssertionError("entered")
    assert await read(stores.source([Location(url=origin.url("one"))], None), SIZE) == Noise(SIZE + 1).read(SIZE)


@pytest.mark.parametrize("error", [TimeoutError(), WrongLength(1, 2), OSError()], ids=repr)
async def test_what_ends_the_reading_puts_the_location_behind_the_others(
    stores: Stores, origin: Origin, error: Exception
) -> None:
    source = source_of(stores, origin, "one", "two")

    with pytest.raises(type(error)):
        async with source(0):
            raise error
    await read(source)

    assert gets(origin) == [1, 1, 0]


async def test_an_error_that_the_reader_kept_to_itself_does_so_too(stores: Stores, origin: Origin) -> None:
    source = source_of(stores, origin, "one", "two")
    origin.script("one", Fault(cut_at=MIB))

    async with source(0) as chunks:
        with pytest.raises(WrongLength):
            [chunk async for chunk in chunks]
    await read(source)

    assert gets(origin) == [1, 1, 0]


async def test_a_reader_who_leaves_blames_nobody(stores: Stores, origin: Origin) -> None:
    source, gate = source_of(stores, origin, "one", "two"), Gate(at=MIB)
    origin.script("one", Fault(gate=gate))

    async with source(0) as chunks:
        await anext(chunks)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(read(source))
        await origin.until("one", lambda counts: counts.gets == 2)
        task.cancel()

    assert await read(source) == DISK.read()
    assert gets(origin) == [3, 0, 0]


async def test_who_is_distrusted_is_not_asked_again(stores: Stores, origin: Origin) -> None:
    source = source_of(stores, origin, "one", "two")
    await read(source)

    assert source.distrust()
    origin.script("two", Fault(cut_at=MIB))
    assert await read_on(source) == DISK.read()
    assert gets(origin) == [1, 2, 0]

    assert not source.distrust()
    assert not source.distrust()
    with pytest.raises(Unavailable, match="not the image's"):
        await read(source)
    assert gets(origin) == [1, 2, 0]


async def test_before_anything_was_read_nobody_is_distrusted(stores: Stores, origin: Origin) -> None:
    source = source_of(stores, origin, "one")

    assert source.distrust()
    assert not stores.source([], SIZE).distrust()
    assert await read(source) == DISK.read()


async def test_where_all_refuse_the_last_error_is_raised(stores: Stores, origin: Origin) -> None:
    refused = {"one": 503, "two": 404, "three": 403}
    for name, status in refused.items():
        origin.always(name, Fault(status=status))

    expected: list[tuple[tuple[str, ...], type[UpstreamError]]] = [
        (("two", "one"), Unavailable),
        (("one", "two"), DataNotFound),
        (("one", "two", "three"), Denied),
        ((), DataNotFound),
    ]
    for names, error in expected:
        with pytest.raises(error):
            await read(source_of(stores, origin, *names))


async def test_a_file_and_an_url_stand_in_for_each_other(stores: Stores, origin: Origin, tmp_path: Path) -> None:
    stored = (await stores.write("disk", arriving(DISK), None)).location
    web = Location(url=origin.url("one"))
    origin.script("one", Fault(cut_at=MIB))

    source = stores.source([web, stored], SIZE, ["web"])

    assert await read_on(source) == DISK.read()
    (tmp_path / "local" / "disk").unlink()
    assert await read(source, MIB) == DISK.read(MIB)


async def test_the_log_tells_stores_and_no_urls(stores: Stores, origin: Origin) -> None:
    urls = [origin.url(name, user_info="user:secret", query="sig=secret") for name in ("one", "two", "three")]
    source = stores.source([Location(url=url, id=number) for number, url in enumerate(urls)], SIZE)
    origin.script("one", Fault(status=503))
    origin.script("two", Fault(cut_at=MIB))

    with capture_logs() as logs:
        await read_on(source)
        source.distrust()

    assert [(line["event"], line["store"]) for line in logs if line["event"].startswith("store.")] == [
        ("store.read_refused", "web"),
        ("store.switched", "web"),
        ("store.distrusted", "web"),
    ]
    assert "secret" not in str(logs)
    assert "127.0.0.1" not in str(logs)


async def refused(source: LocationsSource) -> str:
    try:
        async with source(0):
            return "opened"
    except UpstreamError as error:
        return type(error).__name__


@pytest.mark.parametrize(
    ("fault", "outcome", "gets_each"),
    [
        (Fault(status=503), "Unavailable", 1),
        (Fault(status=404), "DataNotFound", 1),
        (Fault(refuse=True), "Unavailable", 2),  # aiohttp asks again by itself: an idle connection may have been closed
        (Fault(gate=Gate()), "Unavailable", 1),
    ],
    ids=repr,
)
async def test_a_thousand_retries_ask_a_failing_store_once_in_each_slot(
    stores: Stores, origin: Origin, fault: Fault, outcome: str, gets_each: int
) -> None:
    origin.always("one", fault)
    began_s = time.monotonic()

    seen = {await refused(source_of(stores, origin, "one")) for _ in range(1000)}
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(refused(source_of(stores, origin, "one"))) for _ in range(1000)]

    assert seen | {task.result() for task in tasks} == {outcome}
    slots_max = 1 + math.log2(1 + (time.monotonic() - began_s) / 0.1)  # the shortest is 0.1 s long, and they double
    assert 1 <= origin.counts("one").gets <= gets_each * slots_max


async def test_a_store_that_refuses_credentials_is_asked_each_time(stores: Stores, origin: Origin) -> None:
    origin.always("one", Fault(status=403))

    assert {await refused(source_of(stores, origin, "one")) for _ in range(20)} == {"Denied"}
    assert origin.counts("one").gets == 20


async def test_a_read_that_goes_on_is_not_held_back(stores: Stores, origin: Origin) -> None:
    busy = Fault(status=503, headers={"Retry-After": "10"})
    origin.script("one", Fault(cut_at=MIB), busy, busy)
    source, got = source_of(stores, origin, "one"), bytearray()

    for error in (WrongLength, Unavailable, Unavailable):
        with pytest.raises(error):
            await drain(source, got)
    assert await refused(source_of(stores, origin, "one")) == "Unavailable"  # a newcomer is
    await drain(source, got)

    assert got == DISK.read()
    assert await refused(source_of(stores, origin, "one")) == "opened"


async def drain(source: LocationsSource, got: bytearray) -> None:
    async with source(len(got)) as chunks:
        async for chunk in chunks:
            got += chunk


async def test_data_that_came_in_the_meantime_is_read_at_once(stores: Stores, origin: Origin, tmp_path: Path) -> None:
    web, local = Location(url=origin.url("one")), Location(url=f"file://{tmp_path}/local/disk")
    origin.script("one", Fault(status=404))
    assert [await refused(stores.source([one], SIZE)) for one in (web, local)] == ["DataNotFound"] * 2

    await stores.size(web)  # as whoever registers a location does
    await stores.write("disk", arriving(DISK), None)

    assert [await refused(stores.source([one], SIZE)) for one in (web, local)] == ["opened"] * 2


async def test_a_location_registered_anew_is_asked(stores: Stores, origin: Origin) -> None:
    origin.script("one", Fault(status=404))
    url = origin.url("one")

    assert await refused(stores.source([Location(url=url, id=1)], SIZE)) == "DataNotFound"
    assert await refused(stores.source([Location(url=url, id=2)], SIZE)) == "opened"
