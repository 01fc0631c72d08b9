"""Create, show, list, change, delete: through real sockets, against a real registry."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.api.client import OCTETS, Client
from tests.served import config_for, serving

NOBODY = "00000000-0000-4000-8000-000000000000"


async def test_a_new_image_is_queued_and_says_where_it_is(client: Client) -> None:
    answer = await client.ask("POST", "/v2/images", json={"name": "ü", "color": "red", "tags": ["b", "a"]})
    image = answer.json
    assert answer.status == 201
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Location"] == f"{client.served.url}/v2/images/{image['id']}"
    assert answer.headers["OpenStack-image-import-methods"] == "glance-direct,web-download,copy-image"
    assert answer.headers["OpenStack-image-store-ids"] == "local,web"
    assert answer.headers["x-openstack-request-id"].startswith("req-")
    assert (image["name"], image["color"], sorted(image["tags"])) == ("ü", "red", ["a", "b"])
    assert (image["status"], image["visibility"], image["size"]) == ("queued", "shared", None)
    assert await client.show(image["self"]) == image


async def test_an_id_can_be_chosen_and_never_a_second_time(client: Client) -> None:
    path = await client.create(id=NOBODY)
    assert path == f"/v2/images/{NOBODY}"
    assert (await client.ask("POST", "/v2/images", json={"id": NOBODY})).status == 409
    assert (await client.ask("DELETE", path)).status == 204
    assert (await client.ask("POST", "/v2/images", json={"id": NOBODY})).status == 409


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("", 400),
        ("{", 400),
        ("[" * 100_000, 400),
        (b"\xff", 400),
        ("7", 400),
        ("[]", 400),
        ('{"name": 7}', 400),
        (r'{"name": "\ud800"}', 400),
        (r'{"\udfff": "x"}', 400),
        (r'{"name": "a\u0000b"}', 400),
        ('{"size": 7}', 403),
        ('{"stores": "x"}', 403),
        ('{"os_glance_x": "y"}', 403),
        (json.dumps({f"p{n}": "x" for n in range(129)}), 413),
        (" " * (1024 * 1024 + 1), 413),
    ],
    ids=lambda value: repr(value)[:30],
)
async def test_a_bad_body_creates_nothing(client: Client, body: str | bytes, status: int) -> None:
    answer = await client.ask("POST", "/v2/images", data=body, headers={"Content-Type": "application/json"})
    assert answer.status == status
    assert (await client.ask("GET", "/v2/images")).json["images"] == []


async def test_a_body_without_a_length_is_limited_too(client: Client) -> None:
    async def endless() -> Any:
        for _ in range(3):
            yield b" " * 1024 * 512

    answer = await client.ask("POST", "/v2/images", data=endless())
    assert answer.status == 413


async def test_a_list_is_paged_until_there_is_no_next(client: Client) -> None:
    made = {(await client.create(name=f"n{n}", tags=["t", "u"]))[-36:] for n in range(5)}
    await client.create(name="other")
    seen, path = [], "/v2/images?tag=t&tag=u&limit=2&sort=name:asc"
    while path:
        page = (await client.ask("GET", path)).json
        seen += [image["id"] for image in page["images"]]
        path = page.get("next")
    assert len(seen) == 5
    assert set(seen) == made


async def test_filters_find_by_attribute_property_and_size(client: Client) -> None:
    small, large = await client.upload(b"x", name="s", color="red"), await client.upload(b"xx", name="l", color="blue")
    for query, found in [
        ("name=s", [small]),
        ("color=blue", [large]),
        ("size_min=2", [large]),
        ("status=in:active,queued&sort=size:asc", [small, large]),
        ("name=nobody", []),
        ("limit=0", []),
    ]:
        page = (await client.ask("GET", f"/v2/images?{query}")).json
        assert [image["self"] for image in page["images"]] == found, query


@pytest.mark.parametrize(
    "query",
    ["limit=-1", "limit=x", "sort=color", "visibility=x", f"marker={NOBODY}", "size_min=x", "name=%ff", "name=%00"],
)
async def test_a_bad_query_is_refused(client: Client, query: str) -> None:
    answer = await client.ask("GET", f"/v2/images?{query}")
    assert answer.status == 400
    assert answer.text.startswith("<html>\n <head>\n  <title>400 Bad Request</title>")


async def test_a_patch_changes_all_or_nothing(client: Client) -> None:
    path = await client.create(name="old", color="red")
    bad = await client.patch(
        path, {"op": "replace", "path": "/name", "value": "new"}, {"op": "remove", "path": "/nothing"}
    )
    assert bad.status == 409
    assert (await client.show(path))["name"] == "old"
    good = await client.patch(
        path,
        {"op": "replace", "path": "/name", "value": "new"},
        {"op": "remove", "path": "/color"},
        {"op": "add", "path": "/visibility", "value": "public"},
    )
    assert good.status == 200
    assert good.json == await client.show(path)
    assert (good.json["name"], good.json["visibility"], "color" in good.json) == ("new", "public", False)


async def test_two_patches_of_different_properties_do_not_undo_each_other(client: Client) -> None:
    path = await client.create()
    await asyncio.gather(
        *(client.patch(path, {"op": "add", "path": f"/p{n}", "value": str(n)}) for n in range(8)),
    )
    image = await client.show(path)
    assert {f"p{n}": str(n) for n in range(8)}.items() <= image.items()


async def test_another_media_type_is_told_the_right_ones(client: Client) -> None:
    answer = await client.patch(await client.create(), media_type="application/json")
    assert answer.status == 415
    assert answer.headers["Accept-Patch"] == (
        "application/openstack-images-v2.0-json-patch, application/openstack-images-v2.1-json-patch"
    )


async def test_formats_of_an_active_image_cannot_be_changed(client: Client) -> None:
    path = await client.upload(b"x")
    answer = await client.patch(path, {"op": "replace", "path": "/disk_format", "value": "qcow2"})
    assert answer.status == 403


async def test_deleting_removes_image_and_data(client: Client, tmp_path: Path) -> None:
    path = await client.upload(b"data")
    stored = tmp_path / "images" / path[-36:]
    assert stored.read_bytes() == b"data"
    assert (await client.ask("DELETE", path)).status == 204
    assert not stored.exists()
    assert (await client.ask("GET", path)).status == 404
    assert (await client.ask("DELETE", path)).status == 404


async def test_an_image_whose_data_are_lost_can_be_deleted(client: Client, tmp_path: Path) -> None:
    path = await client.upload(b"data")
    (tmp_path / "images" / path[-36:]).unlink()
    assert (await client.ask("DELETE", path)).status == 204


async def test_a_protected_image_stays(client: Client) -> None:
    path = await client.create(protected=True)
    assert (await client.ask("DELETE", path)).status == 403
    assert (await client.patch(path, {"op": "replace", "path": "/protected", "value": False})).status == 200
    assert (await client.ask("DELETE", path)).status == 204


async def test_tags_come_and_go(client: Client) -> None:
    path = await client.create(tags=["old"])
    assert (await client.ask("PUT", f"{path}/tags/new%20one")).status == 204
    assert (await client.ask("PUT", f"{path}/tags/new%20one")).status == 204
    assert (await client.ask("DELETE", f"{path}/tags/old")).status == 204
    assert (await client.show(path))["tags"] == ["new one"]
    assert (await client.ask("DELETE", f"{path}/tags/old")).status == 404
    assert (await client.ask("PUT", f"{path}/tags/{'x' * 256}")).status == 400
    assert (await client.ask("PUT", f"/v2/images/{NOBODY}/tags/x")).status == 404


async def test_tags_are_limited(tmp_path: Path) -> None:
    async with serving(config_for(tmp_path, {"api": {"image_tag_quota": 1}})) as served:
        client = Client(served)
        path = await client.create(tags=["one"])
        assert (await client.ask("PUT", f"{path}/tags/one")).status == 204
        assert (await client.ask("PUT", f"{path}/tags/two")).status == 413


async def test_what_is_offered_can_be_discovered(client: Client) -> None:
    assert (await client.ask("GET", "/v2/info/import")).json["import-methods"]["value"] == [
        "glance-direct",
        "web-download",
        "copy-image",
    ]
    assert (await client.ask("GET", "/v2/info/stores")).json == {
        "stores": [{"id": "local", "default": "true"}, {"id": "web", "read-only": "true"}]
    }
    schema = (await client.ask("GET", "/v2/schemas/image")).json
    assert "qcow2" in schema["properties"]["disk_format"]["enum"]
    for name in ("images", "member", "members", "task", "tasks"):
        assert (await client.ask("GET", f"/v2/schemas/{name}")).json["name"] == name


async def test_the_direct_url_and_locations_are_shown_when_configured(tmp_path: Path) -> None:
    shown = {"api": {"show_image_direct_url": True, "show_multiple_locations": True}}
    async with serving(config_for(tmp_path, shown)) as served:
        client = Client(served)
        image = await client.show(await client.upload(b"x"))
    url = f"file://{tmp_path}/images/{image['id']}"
    assert (image["direct_url"], image["stores"]) == (url, "local")
    assert image["locations"] == [{"url": url, "metadata": {"store": "local"}}]


async def test_no_data_answers_204(client: Client) -> None:
    path = await client.create()
    answer = await client.ask("GET", f"{path}/file", headers=OCTETS)
    assert (answer.status, answer.body) == (204, b"")
