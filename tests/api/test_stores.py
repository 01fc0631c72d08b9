"""DELETE of the data in one store, and rows that do not say their store."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.api.client import OCTETS, Client
from tests.origin import MIB, Noise, Origin
from tests.served import config_for, serving
from upstream.errors import Conflict, Denied, Unavailable
from upstream.registry import ImageChanges
from upstream.types import GLINT, Image, Location

DATA = Noise(2 * MIB + 3, seed=9)


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[Client]:
    """Two file stores and one behind http."""
    second = {"kind": "file", "dir": tmp_path / "second", "weight": 50}
    changes = {"stores": {"backends": {"second": second}}, "api": {"show_image_direct_url": True}}
    async with serving(config_for(tmp_path, changes)) as served:
        yield Client(served)


async def test_images_with_holes_in_several_folders_are_served_to_the_byte(tmp_path: Path) -> None:
    """By sendfile, out of the files themselves."""
    dirs = [{"path": tmp_path / "a", "priority": 1}, {"path": tmp_path / "b"}]
    local = {"kind": "file", "dir": None, "dirs": dirs, "thin_provisioning": True}
    image = b"begin" + bytes(9 * MIB) + DATA.read() + bytes(3 * MIB)
    async with serving(config_for(tmp_path, {"stores": {"backends": {"local": local}}})) as served:
        client = Client(served)
        path = await client.upload(image)
        file = tmp_path / "a" / path[-36:]
        assert file.stat().st_blocks * 512 < 5 * MIB

        assert (await client.ask("GET", f"{path}/file")).body == image
        part = {"Range": f"bytes={MIB - 7}-{len(image) - 9}"}
        assert (await client.ask("GET", f"{path}/file", headers=part)).body == image[MIB - 7 : -8]

        await asyncio.to_thread(file.rename, tmp_path / "b" / file.name)  # by hand, and the row with it
        moved = replace((await image_of(client, path)).locations[0], url=f"file://{tmp_path}/b/{file.name}")
        await served.services.registry.images.update(GLINT, path[-36:], ImageChanges(locations=(moved,)))
        assert (await client.ask("GET", f"{path}/file")).body == image
        assert (await client.ask("DELETE", path)).status == 204
    assert list((tmp_path / "b").iterdir()) == []


async def image_of(client: Client, path: str) -> Image:
    return await client.served.services.registry.images.get(GLINT, path[-36:])


async def place(client: Client, path: str, *locations: Location) -> None:
    """Add locations behind everybody's back."""
    image = await image_of(client, path)
    changes = ImageChanges(locations=(*image.locations, *locations))
    await client.served.services.registry.images.update(GLINT, image.id, changes)


async def in_two_stores(client: Client, folder: Path) -> str:
    path = await client.upload(DATA.read())
    copy = folder / "second" / path[-36:]
    copy.write_bytes(DATA.read())
    await place(client, path, Location(url=f"file://{copy}", metadata={"store": "second"}))
    return path


async def test_the_data_of_one_store_go_and_the_others_stay(two: Client, tmp_path: Path) -> None:
    path = await in_two_stores(two, tmp_path)
    assert (await two.ask("DELETE", f"/v2/stores/second/{path[-36:]}")).status == 204
    assert not (tmp_path / "second" / path[-36:]).exists()
    assert (tmp_path / "images" / path[-36:]).exists()
    assert (await two.show(path))["stores"] == "local"
    assert (await two.ask("GET", f"{path}/file")).body == DATA.read()
    assert (await two.ask("DELETE", f"/v2/stores/local/{path[-36:]}")).status == 403


async def test_an_entry_of_the_cache_outlives_a_location(two: Client, tmp_path: Path, origin: Origin) -> None:
    origin.add("disk", DATA)
    origin.add("copy", DATA)
    path = await two.create()
    await place(two, path, *(Location(url=origin.url(name), metadata={"store": "web"}) for name in ("disk", "copy")))
    image = await image_of(two, path)
    active = ImageChanges(columns={"status": "active", "size": DATA.size_bytes})
    await two.served.services.registry.images.update(GLINT, image.id, active)
    assert (await two.ask("GET", f"{path}/file")).body == DATA.read()
    await two.served.until_cached(image.id)
    assert (await two.ask("DELETE", f"/v2/stores/web/{image.id}")).status == 204
    assert (await two.ask("GET", f"{path}/file")).body == DATA.read()
    assert (origin.counts("disk").gets, origin.counts("copy").gets) == (1, 0)


async def test_data_that_are_gone_are_no_obstacle(two: Client, tmp_path: Path) -> None:
    path = await in_two_stores(two, tmp_path)
    (tmp_path / "second" / path[-36:]).unlink()
    assert (await two.ask("DELETE", f"/v2/stores/second/{path[-36:]}")).status == 204
    assert (await two.show(path))["stores"] == "local"


async def test_of_two_who_delete_the_last_two_copies_one_finds_it_to_be_the_last(two: Client, tmp_path: Path) -> None:
    for _ in range(5):
        path = await in_two_stores(two, tmp_path)
        answers = await asyncio.gather(
            *(two.ask("DELETE", f"/v2/stores/{store}/{path[-36:]}") for store in ("local", "second"))
        )
        assert min(answer.status for answer in answers) == 204
        assert max(answer.status for answer in answers) in {403, 409}
        assert (await two.ask("GET", f"{path}/file")).body == DATA.read()


@pytest.mark.parametrize(
    ("error", "status"), [(Conflict("in use"), 409), (Denied("no"), 403), (Unavailable("second", "away"), 503)]
)
async def test_an_image_keeps_data_that_its_store_does_not_delete(
    two: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    path = await in_two_stores(two, tmp_path)

    async def refuse(location: Location) -> None:
        raise error

    before = (await image_of(two, path)).locations
    monkeypatch.setattr(two.served.services.stores, "delete", refuse)
    assert (await two.ask("DELETE", f"/v2/stores/second/{path[-36:]}")).status == status
    assert (await image_of(two, path)).locations == before


@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        ({}, {"store": "second"}),
        ({"backend": "second"}, {"backend": "second", "store": "second"}),
        ({"store": "gone", "a": "b"}, {"store": "second", "a": "b"}),
        ({"store": "second"}, {"store": "second"}),
    ],
)
async def test_a_row_that_does_not_say_its_store_is_known_by_its_url(
    two: Client, tmp_path: Path, metadata: dict[str, Any], told: dict[str, Any]
) -> None:
    path = await in_two_stores(two, tmp_path)
    image = await image_of(two, path)
    old = Location(id=image.locations[1].id, url=image.locations[1].url, metadata=metadata)
    changes = ImageChanges(locations=(image.locations[0], old))
    await two.served.services.registry.images.update(GLINT, image.id, changes)
    shown = await two.show(path)
    assert shown["stores"] == "second,local", "the heaviest first"
    assert shown["direct_url"] == old.url
    assert (await two.show("/v2/images"))["images"][0]["stores"] == "second,local"
    assert (await two.ask("GET", f"{path}/locations")).json[0]["metadata"] == told
    assert (await two.ask("GET", f"{path}/file?prefer=second")).body == DATA.read()
    assert (await two.ask("DELETE", f"/v2/stores/second/{image.id}")).status == 204


async def test_a_row_that_no_store_fits_says_what_it_said(two: Client, tmp_path: Path) -> None:
    path = await two.upload(b"x")
    await place(
        two,
        path,
        Location(url="file:///elsewhere/x", metadata={"store": "moved"}),
        Location(url=f"file://{tmp_path}/second2/x"),
        Location(url="https://example.org/x"),
    )
    assert (await two.show(path))["stores"] == "local,moved,web"


@pytest.mark.parametrize("status", ["pending", "uploading", "deleted", "pending_delete"])
async def test_only_active_locations_are_the_images(two: Client, tmp_path: Path, status: str) -> None:
    path = await two.upload(DATA.read())
    await place(two, path, Location(url="pending://x/y", metadata={"store": "second"}, status=status))
    assert (await two.show(path))["stores"] == "local"
    assert (await two.ask("GET", f"{path}/file")).body == DATA.read()


async def test_the_data_go_where_the_header_says(two: Client, tmp_path: Path) -> None:
    path = await two.create()
    answer = await two.ask("PUT", f"{path}/file", data=b"x", headers={**OCTETS, "X-Image-Meta-Store": "second"})
    assert answer.status == 204
    assert (tmp_path / "second" / path[-36:]).read_bytes() == b"x"


async def test_stores_are_told_in_detail(two: Client, tmp_path: Path) -> None:
    stores = {store["id"]: store for store in (await two.show("/v2/info/stores/detail"))["stores"]}
    assert stores["second"]["weight"] == 50
    assert stores["second"]["type"] == "file"
    assert stores["second"]["properties"]["data_dir"] == str(tmp_path / "second")
    assert stores["web"] == {"id": "web", "read-only": "true", "type": "http", "properties": {}, "weight": 0}
