"""Posted locations are read in the background: digests proved or computed, by one read of the store."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from proxy.imports.location_import import LocationImport
from tests.api.client import Client
from tests.origin import MIB, Fault, Gate, Noise, Origin
from tests.served import config_for, serving
from upstream.types import GLINT, TaskStatus

DATA = Noise(3 * MIB + 17, seed=5)
OTHER = Noise(3 * MIB + 17, seed=6)
HASHING = {"api": {"do_secure_hash": True, "http_retries": 3}}


@pytest.fixture
async def hashing(tmp_path: Path) -> AsyncIterator[Client]:
    async with serving(config_for(tmp_path, HASHING)) as served:
        yield Client(served)


@pytest.fixture
def url(origin: Origin) -> str:
    origin.add("disk", DATA)
    return origin.url("disk")


async def post(client: Client, path: str, url: str, content: Noise | None = None, algorithm: str = "sha512") -> int:
    body: dict[str, Any] = {"url": url}
    if content is not None:
        body["validation_data"] = {"os_hash_algo": algorithm, "os_hash_value": content.digest(algorithm)}
    return (await client.ask("POST", f"{path}/locations", json=body)).status


async def settled(client: Client, path: str) -> Any:
    """The image when no task works on it any more."""
    async with asyncio.timeout(60):
        while "os_glance_import_task" in (image := await client.show(path)):  # noqa: ASYNC110 - nothing else tells
            await asyncio.sleep(0.02)
    return image


async def tasks_of(client: Client, path: str) -> list[tuple[TaskStatus, str]]:
    found = await client.served.services.registry.tasks.of_image(GLINT, path[-36:])
    return [(task.status, task.message) for task in found]


def reads(origin: Origin) -> int:
    return origin.counts("disk").gets


async def test_without_stated_digests_the_image_is_active_at_once_and_hashed_later(
    hashing: Client, url: str, origin: Origin
) -> None:
    path = await hashing.create()
    assert await post(hashing, path, url) == 202
    assert (await hashing.show(path))["status"] == "active"
    image = await settled(hashing, path)
    assert (image["checksum"], image["os_hash_algo"]) == (DATA.digest("md5"), "sha512")
    assert image["os_hash_value"] == DATA.digest("sha512")
    assert await tasks_of(hashing, path) == [(TaskStatus.SUCCESS, "Hashed 3 MiB")]
    assert (await hashing.ask("GET", f"{path}/file")).body == DATA.read()
    assert reads(origin) == 1, "the download came from the cache that the hashing filled"


@pytest.mark.parametrize("algorithm", ["sha512", "sha256", "sha1", "md5"])
async def test_stated_digests_are_proved_before_the_image_is_active(
    hashing: Client, url: str, origin: Origin, algorithm: str
) -> None:
    path = await hashing.create()
    gate = Gate(at=MIB)
    origin.script("disk", Fault(gate=gate))
    assert await post(hashing, path, url, DATA, algorithm) == 202
    await gate.reached()
    assert (await hashing.show(path))["status"] == "importing"
    assert await post(hashing, path, url) == 409
    gate.open()
    image = await settled(hashing, path)
    assert (image["status"], image["checksum"]) == ("active", DATA.digest("md5"))
    assert (image["os_hash_algo"], image["os_hash_value"]) == (algorithm, DATA.digest(algorithm))


async def test_data_that_are_not_what_was_stated_are_not_the_images(hashing: Client, url: str, tmp_path: Path) -> None:
    path = await hashing.create()
    assert await post(hashing, path, url, OTHER) == 202
    image = await settled(hashing, path)
    assert (image["status"], image["size"], image["checksum"], image["os_hash_value"]) == ("queued", None, None, None)
    assert "stores" not in image
    ((status, message),) = await tasks_of(hashing, path)
    assert status is TaskStatus.FAILURE
    assert DATA.digest("sha512") in message
    assert (await hashing.ask("GET", f"{path}/file")).status == 204
    assert await hashing.served.services.cache.entries() == []
    assert await post(hashing, path, url, DATA) == 202, "and it may have others"
    assert (await settled(hashing, path))["status"] == "active"


async def test_a_running_fill_is_joined(hashing: Client, url: str, origin: Origin) -> None:
    """A download and the hashing ask the store once between them."""
    path = await hashing.create()
    gate = Gate(at=MIB)
    origin.script("disk", Fault(gate=gate))
    assert await post(hashing, path, url) == 202
    await gate.reached()
    async with asyncio.TaskGroup() as group:
        downloading = group.create_task(hashing.ask("GET", f"{path}/file"))
        await asyncio.sleep(0.1)
        gate.open()
    assert downloading.result().body == DATA.read()
    assert (await settled(hashing, path))["os_hash_value"] == DATA.digest("sha512")
    assert reads(origin) == 1


async def test_what_does_not_fit_the_cache_is_hashed_past_it(tmp_path: Path, url: str, origin: Origin) -> None:
    async with serving(config_for(tmp_path, {**HASHING, "cache": {"size_max": "1 MiB"}})) as served:
        client = Client(served)
        path = await client.create()
        assert await post(client, path, url, DATA) == 202
        assert (await settled(client, path))["status"] == "active"
    assert reads(origin) == 1


@pytest.mark.parametrize("fault", [Fault(status=503), Fault(refuse=True), Fault(flip_at=MIB, status=500)])
async def test_a_store_that_fails_is_asked_again(hashing: Client, url: str, origin: Origin, fault: Fault) -> None:
    path = await hashing.create()
    origin.script("disk", fault)
    assert await post(hashing, path, url, DATA) == 202
    assert (await settled(hashing, path))["status"] == "active"


@pytest.mark.parametrize("stated", [DATA, None])
async def test_a_store_that_always_fails_is_asked_three_times(
    hashing: Client, url: str, origin: Origin, stated: Noise | None
) -> None:
    """What was to be proved is not the image's then; what was not stays, without digests."""
    path = await hashing.create()
    origin.always("disk", Fault(status=404))
    assert await post(hashing, path, url, stated) == 202
    image = await settled(hashing, path)
    assert image["os_hash_value"] is None
    assert (image["status"], "stores" in image) == (("queued", False) if stated else ("active", True))
    ((status, _),) = await tasks_of(hashing, path)
    assert status is (TaskStatus.FAILURE if stated else TaskStatus.SUCCESS)


@pytest.mark.parametrize("stated", [DATA, None])
async def test_deleting_the_image_ends_its_hashing(
    hashing: Client, url: str, origin: Origin, stated: Noise | None
) -> None:
    path = await hashing.create()
    gate = Gate(at=MIB)
    origin.always("disk", Fault(gate=gate))
    assert await post(hashing, path, url, stated) == 202
    await gate.reached()
    assert (await hashing.ask("DELETE", path)).status == 204
    async with asyncio.timeout(30):
        while (tasks := await tasks_of(hashing, path))[0][0] is not TaskStatus.FAILURE:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert "No image found" in tasks[0][1]
    assert (await hashing.ask("GET", path)).status == 404
    gate.open()


async def test_what_a_dead_process_left_is_undone(hashing: Client, url: str, origin: Origin) -> None:
    """A job of its record alone: what was to be proved is queued again, what is active stays active."""
    proving, active = await hashing.create(), await hashing.create()
    gate = Gate(at=MIB)
    origin.always("disk", Fault(gate=gate))
    tools = hashing.served.services.location_imports
    assert await post(hashing, proving, url, DATA) == 202
    assert await post(hashing, active, url) == 202
    for path in (proving, active):
        (task,) = await hashing.served.services.registry.tasks.of_image(GLINT, path[-36:])
        left = LocationImport(tools, task)
        for _ in range(2):  # doing it again changes nothing
            await left.undo()
            await left.release()
    image = await hashing.show(proving)
    assert (image["status"], image["size"], image["os_hash_value"]) == ("queued", None, None)
    assert (await hashing.show(active))["status"] == "active"
    gate.open()
    assert await post(hashing, proving, url, DATA) == 202, "the other has noticed that the image is no longer its own"
    assert (await settled(hashing, proving))["status"] == "active"


async def test_without_secure_hash_what_is_stated_is_believed(tmp_path: Path, url: str, origin: Origin) -> None:
    async with serving(config_for(tmp_path)) as served:
        client = Client(served)
        stated, silent = await client.create(), await client.create()
        assert await post(client, stated, url, OTHER) == 202
        assert await post(client, silent, url) == 202
        image = await settled(client, stated)
        assert (image["status"], image["checksum"]) == ("active", None)
        assert image["os_hash_value"] == OTHER.digest("sha512")
        assert (await settled(client, silent))["os_hash_algo"] is None
    assert reads(origin) == 0
