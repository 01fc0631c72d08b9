"""Images whose data lie elsewhere: the way for services, and the older way by PATCH."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.client import V21, Client
from tests.content import MIB, Noise
from tests.origin import Fault, Origin
from tests.served import config_for, serving

DATA = Noise(MIB, seed=3)
SHA512 = {"os_hash_algo": "sha512", "os_hash_value": DATA.digest("sha512")}


@pytest.fixture
def url(origin: Origin) -> str:
    origin.add("disk", DATA)
    return origin.url("disk")


@pytest.fixture
async def open_client(tmp_path: Path) -> AsyncIterator[Client]:
    """A Glint that shows locations and lets them be patched."""
    shown = {"api": {"show_multiple_locations": True, "image_location_quota": 2}}
    async with serving(config_for(tmp_path, shown)) as served:
        yield Client(served)


async def add(client: Client, path: str, url: str, **stated: Any) -> int:
    return (await client.ask("POST", f"{path}/locations", json={"url": url, **stated})).status


def adding(url: str, **more: Any) -> dict[str, Any]:
    return {"op": "add", "path": "/locations/-", "value": {"url": url, "metadata": {}, **more}}


async def test_an_image_with_a_location_is_active_and_served_from_there(client: Client, url: str) -> None:
    path = await client.create()
    assert await add(client, path, url, validation_data=SHA512) == 202
    image = await client.show(path)
    assert (image["status"], image["size"], image["stores"]) == ("active", MIB, "web")
    assert (image["os_hash_algo"], image["os_hash_value"]) == ("sha512", DATA.digest("sha512"))
    assert (await client.ask("GET", f"{path}/file")).body == DATA.read()
    listed = await client.ask("GET", f"{path}/locations")
    assert listed.json == [{"url": url, "metadata": {"store": "web"}}]


@pytest.mark.parametrize("stated", [{}, {"validation_data": {}}], ids=repr)
async def test_nothing_need_be_stated(client: Client, url: str, stated: dict[str, Any]) -> None:
    path = await client.create()
    assert await add(client, path, url, **stated) == 202
    image = await client.show(path)
    assert (image["status"], image["size"]) == ("active", MIB)
    assert (await client.ask("GET", f"{path}/file")).body == DATA.read()


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"url": 7},
        {"url": "http://"},
        {"url": "http://nowhere.invalid/x y"},
        {"url": "{url}", "validation_data": {"os_hash_algo": "sha512"}},
        {"url": "{url}", "validation_data": {"os_hash_algo": "sha512", "os_hash_value": "ab"}},
        {"url": "{url}", "validation_data": {"os_hash_algo": "sha512", "os_hash_value": "x" * 128}},
        {"url": "{url}", "validation_data": {"os_hash_algo": "crc", "os_hash_value": "ab"}},
        {"url": "{url}", "validation_data": SHA512 | {"checksum": "0" * 32}},
        {"url": "{url}-missing"},
    ],
    ids=lambda body: repr(body)[:60],
)
async def test_a_bad_location_leaves_the_image_queued(client: Client, url: str, body: Any) -> None:
    path = await client.create()
    if "url" in body and isinstance(body["url"], str):
        body = body | {"url": body["url"].replace("{url}", url)}
    answer = await client.ask("POST", f"{path}/locations", json=body)
    assert answer.status == 400, answer.text
    image = await client.show(path)
    assert (image["status"], image["size"], "stores" in image) == ("queued", None, False)


@pytest.mark.parametrize("fault", [Fault(status=500, method="HEAD"), Fault(refuse=True, method="HEAD")], ids=repr)
async def test_a_location_that_does_not_answer_can_be_tried_again(
    client: Client, origin: Origin, url: str, fault: Fault
) -> None:
    path = await client.create()
    origin.always("disk", fault)
    assert await add(client, path, url) == 400
    assert (await client.show(path))["status"] == "queued"
    origin.always("disk", None)
    assert await add(client, path, url) == 202


@pytest.mark.parametrize("scheme", ["file:///etc/passwd", "rbd://a/b/c/d", "swift://a/b", "junk", ""])
async def test_only_a_service_may_name_other_places_than_http(client: Client, scheme: str) -> None:
    assert await add(client, await client.create(), scheme) == 403


async def test_an_active_image_gets_no_location_this_way(client: Client, url: str) -> None:
    assert await add(client, await client.upload(b"x"), url) == 409


async def test_an_image_without_formats_cannot_become_active(client: Client, url: str) -> None:
    assert await add(client, await client.create(container_format=None), url) == 400


async def test_a_url_with_a_password_is_never_repeated(client: Client, origin: Origin, url: str) -> None:
    del url
    secret = origin.url("nothing", user_info="user:hunter2")
    answer = await client.ask("POST", f"{await client.create()}/locations", json={"url": secret})
    assert answer.status == 400
    assert "hunter2" not in answer.text


@pytest.mark.parametrize("url", ["http://user:hunter2@" + "x" * 255, ["http://user:hunter2@x/"]], ids=["long", "list"])
async def test_nor_is_one_that_breaks_the_schema(open_client: Client, url: Any) -> None:
    path = await open_client.create()
    for answer in (
        await open_client.patch(path, adding(url)),
        await open_client.ask("POST", f"{path}/locations", json={"url": url}),
    ):
        assert answer.status == 400
        assert "hunter2" not in answer.text


async def test_patching_locations_is_off_unless_they_are_shown(client: Client, url: str) -> None:
    path = await client.create()
    for operation in (
        adding(url),
        {"op": "replace", "path": "/locations", "value": [{"url": url, "metadata": {}}]},
        {"op": "remove", "path": "/locations/0"},
    ):
        answer = await client.patch(path, operation)
        assert answer.status == 403
        assert "invisible" in answer.text


async def test_a_first_location_by_patch_activates_and_takes_over_what_is_stated(open_client: Client, url: str) -> None:
    path = await open_client.create()
    stated = SHA512 | {"checksum": DATA.digest("md5")}
    image = (await open_client.patch(path, adding(url, validation_data=stated))).json
    assert (image["status"], image["size"], image["checksum"]) == ("active", MIB, DATA.digest("md5"))
    assert image["os_hash_value"] == DATA.digest("sha512")
    assert image["locations"] == [{"url": url, "metadata": {"store": "web"}}]
    assert (await open_client.ask("GET", f"{path}/file")).body == DATA.read()


async def test_locations_are_added_replaced_and_removed(open_client: Client, url: str) -> None:
    path = await open_client.create()
    other = f"{url}?copy"
    assert (await open_client.patch(path, adding(url), adding(other))).status == 200
    relabelled = [{"url": url, "metadata": {}}, {"url": other, "metadata": {"a": "b"}}]
    answer = await open_client.patch(path, {"op": "replace", "path": "/locations", "value": relabelled})
    assert answer.json["locations"] == [
        {"url": url, "metadata": {"store": "web"}},
        {"url": other, "metadata": {"a": "b", "store": "web"}},
    ]
    answer = await open_client.patch(path, {"op": "remove", "path": "/locations/1"})
    assert [place["url"] for place in answer.json["locations"]] == [url]


async def test_changes_of_locations_that_cannot_be(open_client: Client, url: str) -> None:
    path = await open_client.create()
    assert (await open_client.patch(path, adding(url))).status == 200
    before = await open_client.show(path)
    for status, *operations in (
        (400, adding(url)),
        (413, adding(f"{url}?2"), adding(f"{url}?3")),
        (400, {**adding(f"{url}?2"), "path": "/locations/x"}),
        (400, adding("file:///etc/passwd")),
        (400, adding(f"{url}-missing")),
        (409, adding(f"{url}?2", validation_data=SHA512)),
        (403, {"op": "replace", "path": "/locations", "value": []}),
        (400, {"op": "replace", "path": "/locations", "value": [{"url": f"{url}?2", "metadata": {}}]}),
        (403, {"op": "remove", "path": "/locations/0"}),
        (400, adding(f"{url}?2"), {"op": "remove", "path": "/locations/7"}),
    ):
        answer = await open_client.patch(path, *operations)
        assert answer.status == status, (operations, answer.text)
    assert await open_client.show(path) == before


async def test_digests_that_contradict_are_a_conflict(open_client: Client, url: str) -> None:
    path = await open_client.create()
    for stated in (SHA512 | {"os_hash_algo": "md5"}, SHA512 | {"os_hash_value": "ab"}):
        assert (await open_client.patch(path, adding(url, validation_data=stated))).status == 409
    both = (
        adding(url, validation_data=SHA512),
        adding(f"{url}?2", validation_data=SHA512 | {"os_hash_value": "0" * 128}),
    )
    assert (await open_client.patch(path, *both, media_type=V21)).status == 409
    assert (await open_client.show(path))["status"] == "queued"


async def test_the_data_of_a_removed_location_are_deleted(open_client: Client, url: str, tmp_path: Path) -> None:
    path = await open_client.upload(DATA.read())
    stored = tmp_path / "images" / path[-36:]
    assert stored.exists()
    assert (await open_client.patch(path, adding(url), {"op": "remove", "path": "/locations/0"})).status == 200
    assert not stored.exists()
    assert (await open_client.ask("GET", f"{path}/file")).body == DATA.read()


async def test_deleting_an_image_leaves_what_others_own(client: Client, origin: Origin, url: str) -> None:
    path = await client.create()
    assert await add(client, path, url) == 202
    assert (await client.ask("DELETE", path)).status == 204
    assert {request.method for request in origin.counts("disk").requests} <= {"HEAD", "GET"}
