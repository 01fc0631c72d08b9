"""What clients and operators see of a store's guard: of a whole Glint, on real sockets."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from cache import CacheState
from tests.content import MIB, Noise
from tests.origin import Fault, Gate, Origin
from tests.served import Served, config_for, serving

CONTENT = Noise(MIB, seed=31)
NAMES = [f"disk-{number}" for number in range(6)]
GUARD = {"guard": {"circuit_failures_max": 3, "circuit_open_max_s": 60}}


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as opened:
        for name in NAMES:
            opened.add(name, CONTENT)
        yield opened


@pytest.fixture
async def glint(tmp_path: Path) -> AsyncIterator[Served]:
    backends = {"web": {"kind": "http", "requests_max": 2, **GUARD}, "copy": {"kind": "http"}}
    async with serving(config_for(tmp_path, {"stores": {"backends": backends}})) as served:
        yield served


async def answer_of(glint: Served, image_id: str) -> tuple[int, str | None]:
    async with glint.session.get(glint.file_url(image_id)) as answer:
        await answer.read()
        return answer.status, answer.headers.get("Retry-After")


async def test_a_store_that_fails_again_and_again_is_503_with_a_time_to_come_back(
    glint: Served, origin: Origin
) -> None:
    images = [await glint.register(CONTENT, origin.url(name)) for name in NAMES]
    for name in NAMES:
        origin.always(name, Fault(status=500, headers={"Retry-After": "9"}))
    for image_id in images[:3]:
        assert (await answer_of(glint, image_id))[0] == 503
    assert glint.counted("glint_store_circuit", store="web") == 2
    before = sum(origin.counts(name).gets for name in NAMES)

    async with asyncio.TaskGroup() as group:
        storm = [group.create_task(answer_of(glint, image_id)) for image_id in images for _ in range(30)]

    answers = [task.result() for task in storm]
    assert {status for status, _ in answers} == {503}
    assert all(after is not None and 1 <= int(after) <= 10 for _, after in answers)
    assert sum(origin.counts(name).gets for name in NAMES) == before
    assert glint.counted("glint_store_refusals_total", store="web") > 0


async def test_a_store_that_hangs_with_all_its_slots_hangs_nothing_else(glint: Served, origin: Origin) -> None:
    """Metadata, and images of another store; when it goes on, so do its clients."""
    images = [await glint.register(CONTENT, origin.url(name)) for name in NAMES[:3]]
    gate = Gate()
    for name in NAMES[:2]:
        origin.script(name, Fault(gate=gate))
    async with asyncio.TaskGroup() as group:
        stuck = [group.create_task(glint.fetch(image_id)) for image_id in images[:2]]
        await gate.reached(2)
        stuck.append(group.create_task(glint.fetch(images[2])))
        await glint.until(lambda: glint.counted("glint_store_waiting", store="web", purpose="demand") == 1)
        assert glint.counted("glint_store_in_flight", store="web", purpose="demand") == 2
        async with glint.session.get(f"{glint.url}/v2/images/{images[0]}") as answer:
            assert answer.status == 200
        gate.open()
        assert {await task for task in stuck} == {CONTENT.read()}

    await glint.until(lambda: glint.counted("glint_store_in_flight", store="web", purpose="demand") == 0)


async def test_who_downloads_what_is_cached_holds_prewarms_back(
    tmp_path: Path, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cache.traffic.QUIET_S", 3600)
    async with serving(config_for(tmp_path, {"cache": {"background_rate_beside_demand": 1}})) as glint:
        cached, wanted = [await glint.register(CONTENT, origin.url(name)) for name in NAMES[:2]]
        await glint.services.prewarmer.ask(cached)
        await glint.until_cached(cached)
        assert await glint.fetch(cached) == CONTENT.read()

        await glint.services.prewarmer.ask(wanted)
        async with asyncio.timeout(30):
            while not await present_bytes(glint, wanted):  # noqa: ASYNC110 - it is no event
                await asyncio.sleep(0.01)
        for _ in range(20):
            await glint.fetch(cached)

        assert (await glint.services.prewarmer.status(wanted, MIB)).state is CacheState.FILLING


async def test_who_downloads_what_is_cached_holds_copies_between_stores_back(
    tmp_path: Path, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cache.traffic.QUIET_S", 3600)
    backends = {"web": {"kind": "http"}, "other": {"kind": "file", "dir": str(tmp_path / "other")}}
    cache, server = {"background_rate_beside_demand": 1}, {"drain_s": 0.1}  # which the copy would be waited for
    settings = {"stores": {"backends": backends}, "cache": cache, "server": server}
    async with serving(config_for(tmp_path, settings)) as glint:
        cached, wanted = [await glint.register(CONTENT, origin.url(name)) for name in NAMES[:2]]
        async with asyncio.timeout(30):
            while "os_glance_import_task" in await image_of(glint, wanted):  # noqa: ASYNC110 - it is no event
                await asyncio.sleep(0.01)
        assert await glint.fetch(cached) == CONTENT.read()
        reads = origin.counts(NAMES[1]).gets
        asked = {"method": {"name": "copy-image"}, "stores": ["other"]}
        async with glint.session.post(f"{glint.url}/v2/images/{wanted}/import", json=asked) as answer:
            assert answer.status == 202
        await glint.until(lambda: origin.counts(NAMES[1]).gets > reads)
        for _ in range(20):
            await glint.fetch(cached)

        image = await image_of(glint, wanted)
        assert (image["stores"], image["os_glance_importing_to_stores"]) == ("web", "other")


async def image_of(glint: Served, image_id: str) -> dict[str, Any]:
    async with glint.session.get(f"{glint.url}/v2/images/{image_id}") as answer:
        document: dict[str, Any] = await answer.json()
        return document


async def present_bytes(glint: Served, image_id: str) -> int:
    return (await glint.services.prewarmer.status(image_id, MIB)).present_bytes
