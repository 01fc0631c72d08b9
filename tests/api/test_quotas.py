"""What a project may have: at each limit and one past it, and many at once."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from proxy.quotas import Quotas
from tests.api.client import OCTETS, Answer, Client, served_with
from tests.served import config_for, serving

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Fixed:
    """Limits as Keystone would say them."""

    limits: Mapping[str, int]

    async def of(self, project_id: str | None) -> Mapping[str, int]:
        return self.limits


async def put(client: Client, path: str, data: bytes | AsyncIterator[bytes]) -> int:
    return (await client.ask("PUT", f"{path}/file", data=data, headers=OCTETS)).status


async def chunked(*chunks: bytes) -> AsyncIterator[bytes]:
    """Data of no announced length."""
    for chunk in chunks:
        yield chunk


async def state(client: Client, path: str) -> tuple[Any, ...]:
    image = await client.show(path)
    return image["status"], image["size"], image["checksum"]


def stored(folder: Path) -> list[int]:
    return sorted(path.stat().st_size for path in (folder / "images").iterdir())


@pytest.fixture
async def tight(tmp_path: Path) -> AsyncIterator[Client]:
    """A project may store 100 bytes."""
    async with serving(config_for(tmp_path, {"api": {"user_storage_quota": "100B"}})) as served:
        yield Client(served)


UNREGISTERED: Mapping[str, int] = {
    "image_size_total": -1,
    "image_stage_total": -1,
    "image_count_total": -1,
    "image_count_uploading": -1,
}


def limited(client: Client, **limits: int) -> Any:
    """The same Glint, with unified limits of which only these are any."""
    services = client.served.services
    quotas = Quotas(services.config.api, services.registry.usage, Fixed({**UNREGISTERED, **limits}))
    return served_with(client.served, quotas=quotas)


async def test_data_fill_the_storage_quota_to_the_byte_and_not_past_it(tight: Client, tmp_path: Path) -> None:
    await tight.upload(bytes(60))
    await tight.upload(bytes(40))
    path = await tight.create()
    assert await put(tight, path, b"x") == 413
    assert await put(tight, path, b"") == 413, "Glance refuses data of unknown length when there is no room"
    assert await state(tight, path) == ("queued", None, None)
    assert stored(tmp_path) == [40, 60]


async def test_data_of_no_announced_length_are_cut_at_the_storage_quota(tight: Client, tmp_path: Path) -> None:
    await tight.upload(bytes(60))
    path = await tight.create()
    assert await put(tight, path, chunked(bytes(40), b"x")) == 413
    assert await state(tight, path) == ("queued", None, None)
    assert await put(tight, path, chunked(bytes(40))) == 204
    assert stored(tmp_path) == [40, 60]


async def test_deleted_images_no_longer_count(tight: Client) -> None:
    path = await tight.upload(bytes(100))
    await tight.ask("DELETE", path)
    await tight.upload(bytes(100))


async def test_many_uploads_at_once_do_not_pass_the_storage_quota(tight: Client, tmp_path: Path) -> None:
    """All are let in while nothing is stored; of those that end together only as many are kept as fit."""
    all_in, everybody = asyncio.Event(), 8
    begun = 0

    async def data() -> AsyncIterator[bytes]:
        nonlocal begun
        yield bytes(20)
        begun += 1
        if begun == everybody:
            all_in.set()
        await all_in.wait()
        yield bytes(20)

    paths = [await tight.create() for _ in range(everybody)]
    statuses = await asyncio.gather(*(put(tight, path, data()) for path in paths))
    assert sorted(statuses) == [204, 204, *[413] * 6]
    assert stored(tmp_path) == [40, 40]
    states = [(await state(tight, path))[0] for path in paths]
    assert sorted(states) == ["active", "active", *["queued"] * 6]


@pytest.mark.parametrize(
    ("written", "quota_bytes"),
    [
        ("0", 0),
        (0, 0),
        ("1", 1),
        ("7B", 7),
        ("1KB", 1024),
        ("2MB", 2 * MIB),
        ("3 GiB", 3 * 1024 * MIB),
        ("1TB", MIB * MIB),
    ],
)
def test_a_storage_quota_is_written_as_glance_writes_it(tmp_path: Path, written: object, quota_bytes: int) -> None:
    assert config_for(tmp_path, {"api": {"user_storage_quota": written}}).api.user_storage_quota == quota_bytes


@pytest.mark.parametrize("written", ["", "B", "1.5GB", "-1", -1, "1 PB", "1kB", "x"])
def test_what_is_no_storage_quota_is_refused(tmp_path: Path, written: object) -> None:
    with pytest.raises(ValueError, match="user_storage_quota"):
        config_for(tmp_path, {"api": {"user_storage_quota": written}})


async def test_a_project_has_as_many_images_as_its_unified_limit(client: Client) -> None:
    async with limited(client, image_count_total=2) as there:
        first = await there.create()
        await there.create()
        assert (await there.ask("POST", "/v2/images", json={})).status == 413
        await there.ask("DELETE", first)
        await there.create()


async def test_many_creations_at_once_do_not_pass_the_limit(client: Client) -> None:
    async with limited(client, image_count_total=3) as there:
        answers: list[Answer] = await asyncio.gather(*(there.ask("POST", "/v2/images", json={}) for _ in range(10)))
        assert sorted(answer.status for answer in answers) == [201] * 3 + [413] * 7


async def test_stored_mebibytes_reach_the_unified_limit(client: Client, tmp_path: Path) -> None:
    """No part of a MiB counts, neither of what is there nor of what comes: so Glance counts."""
    async with limited(client, image_size_total=2) as there:
        await there.upload(bytes(2 * MIB - 1))
        path = await there.upload(bytes(2 * MIB - 1))
        assert await put(there, await there.create(), b"x") == 413
        await there.ask("DELETE", path)
        late = await there.create()
        assert await put(there, late, bytes(2 * MIB)) == 413
        assert await put(there, late, chunked(bytes(2 * MIB))) == 413
        assert await state(there, late) == ("queued", None, None)
        assert await put(there, late, chunked(bytes(2 * MIB - 1))) == 204


async def test_as_many_images_are_uploaded_at_once_as_the_unified_limit(client: Client) -> None:
    async with limited(client, image_count_uploading=1) as there:
        first, second = await there.create(), await there.create()
        may_end = asyncio.Event()

        async def data() -> AsyncIterator[bytes]:
            yield b"some"
            await may_end.wait()
            yield b"more"

        async with asyncio.TaskGroup() as running:
            slow = running.create_task(put(there, first, data()))
            async with asyncio.timeout(30):
                while (await there.show(first))["status"] != "saving":  # noqa: ASYNC110 - nothing else tells
                    await asyncio.sleep(0.01)
            assert await put(there, second, b"x") == 413
            assert await state(there, second) == ("queued", None, None)
            may_end.set()
        assert slow.result() == 204
        assert await put(there, second, b"x") == 204


async def test_what_is_not_registered_may_not_be_used(client: Client) -> None:
    services = client.served.services
    quotas = Quotas(services.config.api, services.registry.usage, Fixed({}))
    path = await client.create()
    async with served_with(client.served, quotas=quotas) as there:
        assert (await there.ask("POST", "/v2/images", json={})).status == 413
        assert await put(there, path, b"x") == 413


async def test_usage_is_shown_beside_the_limits(client: Client) -> None:
    async with limited(client, image_size_total=5, image_count_total=9) as there:
        await there.upload(bytes(2 * MIB))
        await there.create()
        assert (await there.ask("GET", "/v2/info/usage")).json == {
            "usage": {
                "image_size_total": {"usage": 2, "limit": 5},
                "image_stage_total": {"usage": 0, "limit": -1},
                "image_count_total": {"usage": 2, "limit": 9},
                "image_count_uploading": {"usage": 0, "limit": -1},
            }
        }


async def test_without_unified_limits_no_usage_is_shown(client: Client) -> None:
    assert (await client.ask("GET", "/v2/info/usage")).json == {"usage": {}}
