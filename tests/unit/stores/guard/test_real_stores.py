"""The guard before real sockets: silence in each phase, a server that fails, and one that is shared."""

import asyncio
import math
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from cache import Blob, CacheConfig, ImageCache
from metrics import Instruments
from tests.origin import MIB, Fault, Gate, Noise, Origin
from upstream.errors import NotAsked, Unavailable, UpstreamError
from upstream.stores import LocationsSource, Stores, StoresConfig, open_stores
from upstream.stores.guard.config import GuardConfig
from upstream.types import Location

DISK = Noise(3 * MIB, seed=23)
MANY = [f"disk-{number}" for number in range(20)]
FAILS = Fault(status=503)
BUSY = Fault(status=503, headers={"Retry-After": "10"})  # closed to others for as long as any machine dawdles


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as opened:
        for name in MANY:
            opened.add(name, DISK)
        yield opened


@pytest.fixture
def instruments() -> Instruments:
    return Instruments()


@pytest.fixture
async def opening(instruments: Instruments) -> AsyncIterator[Any]:
    """Opens stores of kind http named web and other, with these keys of their own and of their guard."""
    async with AsyncExitStack() as stack:

        async def opened(guard: dict[str, Any] | None = None, **keys: Any) -> Stores:
            web = {"kind": "http", "guard": guard or {}, **keys}
            config = {"default": None, "backends": {"web": web, "other": {"kind": "http"}}}
            return await stack.enter_async_context(open_stores(StoresConfig.model_validate(config), instruments))

        yield opened


def at(origin: Origin, name: str, store: str = "web") -> Location:
    return Location(url=origin.url(name), metadata={"store": store}, id=hash((name, store)))


def source_of(stores: Stores, *locations: Location) -> LocationsSource:
    return stores.source(locations, DISK.size_bytes)


async def read(source: LocationsSource, offset: int = 0) -> bytes:
    async with source(offset) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def asked(stores: Stores, origin: Origin, name: str) -> UpstreamError | None:
    """What came of opening it."""
    try:
        async with source_of(stores, at(origin, name))(0):
            return None
    except UpstreamError as error:
        return error


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not is_so():  # noqa: ASYNC110 - no event tells it
            await asyncio.sleep(0.01)


async def not_asked(stores: Stores, origin: Origin) -> str:
    """The name of what a store that fails was not asked for, as its back-off is not over, nor for anything of its own.

    Who comes when a back-off is just over is let through, and the next one is twice as long.
    """
    for name in reversed(MANY):
        if isinstance(await asked(stores, origin, name), NotAsked):
            return name
    raise AssertionError("all were let through")


async def until_read(stores: Stores, origin: Origin, name: str) -> None:
    async with asyncio.timeout(30):
        while await asked(stores, origin, name) is not None:  # noqa: ASYNC110 - it is the asking that changes it
            await asyncio.sleep(0.02)


def gets(origin: Origin) -> int:
    return sum(origin.counts(name).gets for name in MANY)


def always(origin: Origin, fault: Fault | None) -> None:
    for name in MANY:
        origin.always(name, fault)


@pytest.mark.parametrize(
    ("phase", "fault"),
    [
        ("open", Fault(gate=Gate())),
        ("first_byte", Fault(gate=Gate(at=0))),
        ("idle", Fault(gate=Gate(at=MIB))),
        ("size", Fault(method="HEAD", gate=Gate())),
    ],
)
async def test_a_server_that_falls_silent_is_told_by_the_phase(
    opening: Any, origin: Origin, instruments: Instruments, phase: str, fault: Fault
) -> None:
    origin.script("disk-0", fault)
    stores = await opening({f"{phase}_s": 0.3}, requests_max=1)

    async with asyncio.timeout(20):
        with pytest.raises(Unavailable, match=rf"\({phase}_s\)"):
            await (
                stores.size(at(origin, "disk-0")) if phase == "size" else read(source_of(stores, at(origin, "disk-0")))
            )

    labels = {"store": "web", "operation": "size" if phase == "size" else "read", "phase": phase}
    assert instruments.registry.get_sample_value("glint_store_timeouts_total", labels) == 1
    stores._opened["web"]._silence = GuardConfig().silence()  # the next one is only slow, if at all
    assert await read(source_of(stores, at(origin, "disk-1"))) == DISK.read()  # by the one slot that there is


async def test_a_server_that_cannot_be_connected_to_is_told_by_the_phase(
    opening: Any, instruments: Instruments
) -> None:
    with ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1))
        for _ in range(4):  # nobody accepts these, so there is no room for more
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        stores = await opening(connect_s=0.3)
        with pytest.raises(Unavailable, match="connected"):
            await stores.size(Location(url=f"http://127.0.0.1:{full.getsockname()[1]}/disk"))

    labels = {"store": "web", "operation": "size", "phase": "connect"}
    assert instruments.registry.get_sample_value("glint_store_timeouts_total", labels) == 1


async def test_a_server_that_fails_is_left_alone_whatever_is_asked_for(
    opening: Any, origin: Origin, instruments: Instruments
) -> None:
    always(origin, FAILS)
    stores = await opening()
    began_s = time.monotonic()
    errors = [await asked(stores, origin, name) for name in MANY]
    assert sum(type(error) is Unavailable for error in errors[:5]) == 5

    async with asyncio.TaskGroup() as group:
        storm = [group.create_task(asked(stores, origin, name)) for name in MANY for _ in range(50)]
    took_s = time.monotonic() - began_s

    assert all(isinstance(task.result(), Unavailable) for task in storm)
    refused = [error for error in errors if isinstance(error, NotAsked)]
    assert refused
    assert all(error.retry_after_s is not None and error.retry_after_s > 0 for error in refused)
    # Each back-off lets one through: the shortest takes 0.1 s, they double, and from the seventh on take 5 s at least.
    assert gets(origin) <= 5 + 1 + math.log2(1 + took_s / 0.1) + took_s / 5 + 1
    assert instruments.registry.get_sample_value("glint_store_circuit", {"store": "web"}) == 2

    always(origin, None)
    await until_read(stores, origin, "disk-7")
    assert await read(source_of(stores, at(origin, "disk-8"))) == DISK.read()
    assert instruments.registry.get_sample_value("glint_store_circuit", {"store": "web"}) == 0


async def test_a_host_that_fails_is_no_fault_of_other_hosts(opening: Any, origin: Origin) -> None:
    always(origin, BUSY)
    stores = await opening({"circuit_failures_max": 2})
    for name in MANY[:3]:
        await asked(stores, origin, name)
    assert isinstance(await asked(stores, origin, "disk-9"), NotAsked)

    with Origin() as well:
        well.add("disk-0", DISK)
        assert await read(source_of(stores, at(well, "disk-0"))) == DISK.read()


async def test_a_store_that_is_not_asked_is_passed_over_at_once(opening: Any, origin: Origin) -> None:
    always(origin, FAILS)
    stores = await opening({"circuit_failures_max": 2})
    for name in MANY[:3]:
        await asked(stores, origin, name)
    always(origin, None)
    before = origin.counts("disk-9").gets

    assert await read(source_of(stores, at(origin, "disk-9"), at(origin, "disk-9", "other"))) == DISK.read()

    assert origin.counts("disk-9").gets == before + 1


async def test_not_being_asked_is_no_refusal_of_the_location(opening: Any, origin: Origin) -> None:
    """As soon as another image is read, this one is: its own back-off has not begun."""
    always(origin, FAILS)
    stores = await opening({"circuit_failures_max": 2})
    for name in MANY[:3]:
        await asked(stores, origin, name)
    name = await not_asked(stores, origin)
    always(origin, None)
    await until_read(stores, origin, "disk-3")

    assert await asked(stores, origin, name) is None


async def test_who_reads_on_in_mid_image_tries_a_store_that_others_do_not_ask(opening: Any, origin: Origin) -> None:
    origin.script("disk-0", Fault(cut_at=MIB))
    stores = await opening({"circuit_failures_max": 2})
    begun, got = source_of(stores, at(origin, "disk-0")), bytearray()
    with suppress(UpstreamError):
        async with begun(0) as chunks:
            async for chunk in chunks:
                got += chunk
    assert 0 < len(got) < DISK.size_bytes
    for name in ("disk-1", "disk-2"):
        origin.script(name, BUSY)
        await asked(stores, origin, name)
    assert isinstance(await asked(stores, origin, "disk-3"), NotAsked)

    assert got + await read(begun, len(got)) == DISK.read()

    assert await asked(stores, origin, "disk-3") is None


async def test_a_prewarm_that_waits_at_the_store_goes_ahead_when_a_client_joins_it(
    opening: Any, origin: Origin, instruments: Instruments, tmp_path: Path
) -> None:
    stores = await opening(requests_max=1)
    busy, half = Gate(at=MIB), Gate(at=2 * MIB)
    origin.script("disk-0", Fault(gate=busy))
    origin.script("disk-3", Fault(gate=half))
    blobs = {name: Blob(key=name, size_bytes=DISK.size_bytes) for name in MANY}

    async with ImageCache(CacheConfig(dir=tmp_path / "cache"), Instruments()) as cache, asyncio.TaskGroup() as group:

        async def store(name: str) -> None:
            await cache.store(blobs[name], source_of(stores, at(origin, name)))

        async def download(name: str) -> None:
            async with cache.open(blobs[name], source_of(stores, at(origin, name))) as reader:
                await reader.beyond(0)

        def waiting(purpose: str) -> float | None:
            return instruments.registry.get_sample_value("glint_store_waiting", {"store": "web", "purpose": purpose})

        group.create_task(download("disk-0"))
        await busy.reached()
        prewarms = [group.create_task(store(name)) for name in ("disk-1", "disk-2", "disk-3")]
        await until(lambda: waiting("prewarm") == len(prewarms))
        client = group.create_task(download("disk-3"))
        await until(lambda: waiting("demand") == 1)
        busy.open()
        await client
        assert [origin.counts(name).gets for name in ("disk-1", "disk-2", "disk-3")] == [0, 0, 1]
        half.open()
        await asyncio.gather(*prewarms)

    assert [origin.counts(name).gets for name in ("disk-1", "disk-2", "disk-3")] == [1, 1, 1]


async def test_bandwidth_is_shared_by_all_reads_of_a_store(opening: Any, origin: Origin) -> None:
    rate = 8 * MIB
    stores = await opening({"read_rate_max": rate})
    began_s = time.monotonic()

    bodies = await asyncio.gather(*(read(source_of(stores, at(origin, name))) for name in MANY[:4]))

    took_s = time.monotonic() - began_s
    assert all(body == DISK.read() for body in bodies)
    in_hand = 4 * MIB  # each reader's last piece, which who comes next would pay
    assert took_s >= (4 * DISK.size_bytes - in_hand) / rate - 0.25 - 0.05
