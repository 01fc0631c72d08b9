"""PUT of image data: all of it or nothing, whatever goes wrong."""

import asyncio
import gzip
import hashlib
import json
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.api.client import OCTETS, Client, served_with
from tests.content import MIB, Noise
from tests.served import config_for, serving
from upstream.errors import Unavailable
from upstream.registry import ImageChanges
from upstream.types import Context, Image, Status

LARGE = Noise(3 * MIB + 17, seed=1)
QCOW2 = b"QFI\xfb" + struct.pack(">IQIIQ", 3, 0, 0, 16, 7 * MIB) + bytes(600)
BACKED_QCOW2 = b"QFI\xfb" + struct.pack(">IQIIQ", 3, 512, 8, 16, 7 * MIB) + bytes(600)


async def put(client: Client, path: str, data: Any, **headers: str) -> int:
    return (await client.ask("PUT", f"{path}/file", data=data, headers=OCTETS | headers)).status


async def chunked(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def assert_untouched(client: Client, path: str, folder: Path) -> None:
    """Queued as if nothing had come, nothing stored, and the next upload works."""
    image = await client.show(path)
    assert image["status"] == "queued"
    assert {image[key] for key in ("size", "virtual_size", "checksum", "os_hash_algo", "os_hash_value")} == {None}
    assert "stores" not in image
    assert await asyncio.to_thread(lambda: [file for file in (folder / "images").rglob("*") if file.is_file()]) == []
    await client.patch(path, {"op": "replace", "path": "/disk_format", "value": "raw"})
    assert await put(client, path, b"again") == 204


@pytest.mark.parametrize("way", ["length", "chunked"])
async def test_an_uploaded_image_is_active_with_its_digests(client: Client, way: str) -> None:
    path = await client.create()
    data = LARGE.read()
    assert await put(client, path, data if way == "length" else chunked(data[:MIB], data[MIB:])) == 204
    image = await client.show(path)
    assert (image["status"], image["size"], image["virtual_size"]) == ("active", len(data), len(data))
    assert image["checksum"] == hashlib.md5(data).hexdigest()
    assert (image["os_hash_algo"], image["os_hash_value"]) == ("sha512", hashlib.sha512(data).hexdigest())
    assert image["stores"] == "local"
    assert (await client.ask("GET", f"{path}/file")).body == data


async def test_data_are_kept_as_they_come_whatever_their_encoding(client: Client) -> None:
    data = gzip.compress(b"x" * 1000)
    path = await client.create()
    assert await put(client, path, chunked(data), **{"Content-Encoding": "gzip"}) == 204
    assert (await client.ask("GET", f"{path}/file")).body == data


async def test_an_empty_image_is_an_image(client: Client) -> None:
    path = await client.upload(b"")
    image = await client.show(path)
    assert (image["status"], image["size"], image["virtual_size"]) == ("active", 0, None)
    answer = await client.ask("GET", f"{path}/file")
    assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize(("named", "status"), [("web,local", 200), ("", 200), ("local,tape", 400), ("%ff", 400)])
async def test_a_download_may_prefer_stores_that_there_are(client: Client, named: str, status: int) -> None:
    path = await client.upload(b"data")
    assert (await client.ask("GET", f"{path}/file?prefer={named}")).status == status


async def test_the_disk_in_a_qcow2_is_measured(client: Client) -> None:
    image = await client.show(await client.upload(QCOW2, disk_format="qcow2"))
    assert (image["size"], image["virtual_size"]) == (len(QCOW2), 7 * MIB)


@pytest.mark.parametrize(
    ("data", "disk_format"),
    [(b"no disk at all", "qcow2"), (BACKED_QCOW2, "qcow2"), (BACKED_QCOW2, "raw"), (QCOW2, "vmdk")],
    ids=["raw as qcow2", "qcow2 with a backing file", "the same as raw", "qcow2 as vmdk"],
)
async def test_data_of_another_format_are_refused(
    client: Client, tmp_path: Path, data: bytes, disk_format: str
) -> None:
    path = await client.create(disk_format=disk_format)
    assert await put(client, path, data) == 415
    await assert_untouched(client, path, tmp_path)


async def test_formats_need_not_match_where_that_is_configured(tmp_path: Path) -> None:
    async with serving(config_for(tmp_path, {"api": {"require_image_format_match": False}})) as served:
        client = Client(served)
        image = await client.show(await client.upload(b"no disk at all", disk_format="qcow2"))
    assert (image["status"], image["virtual_size"]) == ("active", None)


async def test_other_containers_are_not_looked_into(client: Client) -> None:
    image = await client.show(await client.upload(b"tar", disk_format="qcow2", container_format="ova"))
    assert (image["status"], image["virtual_size"]) == ("active", None)


@pytest.mark.parametrize("announced", ["2", "6", "-1", "x", ""])
async def test_data_of_another_size_than_announced_are_refused(client: Client, tmp_path: Path, announced: str) -> None:
    path = await client.create()
    assert await put(client, path, b"12345", **{"x-openstack-image-size": announced}) == 400
    assert await put(client, path, chunked(b"123", b"45"), **{"x-openstack-image-size": announced}) == 400
    await assert_untouched(client, path, tmp_path)


async def test_data_beyond_the_cap_are_refused(tmp_path: Path) -> None:
    async with serving(config_for(tmp_path, {"api": {"image_size_cap": MIB}})) as served:
        client = Client(served)
        path = await client.create()
        assert await put(client, path, chunked(bytes(MIB), b"x")) == 413
        await assert_untouched(client, path, tmp_path)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": ""}, 415),
        ({"X-Image-Meta-Store": "nowhere"}, 400),
        ({"X-Image-Meta-Store": "web"}, 410),
    ],
    ids=repr,
)
async def test_what_can_be_refused_without_data_is(
    client: Client, tmp_path: Path, headers: dict[str, str], status: int
) -> None:
    path = await client.create()
    assert await put(client, path, b"x", **headers) == status
    await assert_untouched(client, path, tmp_path)


async def test_an_image_without_formats_takes_no_data(client: Client) -> None:
    path = await client.create(disk_format=None)
    answer = await client.ask("PUT", f"{path}/file", data=b"x", headers=OCTETS)
    assert answer.status == 400
    assert "Property disk_format" in answer.text


async def test_an_image_is_filled_once(client: Client) -> None:
    path = await client.upload(b"first")
    assert await put(client, path, b"second") == 409
    assert (await client.ask("GET", f"{path}/file")).body == b"first"


async def test_of_two_uploads_at_once_one_wins(client: Client) -> None:
    path = await client.create()
    statuses = await asyncio.gather(*(put(client, path, LARGE.read()) for _ in range(4)))
    assert sorted(statuses) == [204, 409, 409, 409]
    assert (await client.ask("GET", f"{path}/file")).body == LARGE.read()


async def started(client: Client, path: str, announced: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """An upload of which a part has come: the image is saving."""
    host, port = client.served.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"PUT {path}/file HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\n"
    writer.write(f"{head}Content-Length: {announced}\r\n\r\n".encode() + bytes(2 * MIB))
    await until_status(client, path, "saving")
    return reader, writer


async def until_status(client: Client, path: str, status: str) -> None:
    async with asyncio.timeout(30):
        while (await client.show(path))["status"] != status:  # noqa: ASYNC110 - seen from outside
            await asyncio.sleep(0.01)


async def test_a_client_that_leaves_leaves_nothing(client: Client, tmp_path: Path) -> None:
    path = await client.create()
    _, writer = await started(client, path, 4 * MIB)
    writer.transport.abort()
    await until_status(client, path, "queued")
    await assert_untouched(client, path, tmp_path)


async def test_an_image_deleted_meanwhile_is_gone_with_its_data(client: Client, tmp_path: Path) -> None:
    path = await client.create()
    reader, writer = await started(client, path, 4 * MIB)
    assert (await client.ask("DELETE", path)).status == 204
    writer.write(bytes(2 * MIB))
    assert (await reader.readline()) == b"HTTP/1.1 410 Gone\r\n"
    writer.close()
    await writer.wait_closed()
    assert (await client.ask("GET", path)).status == 404
    assert not (tmp_path / "images" / path[-36:]).exists()


async def test_a_client_that_asks_first_is_refused_before_it_sends(client: Client) -> None:
    host, port = client.served.url.removeprefix("http://").split(":")
    for path, line in [("/v2/images/nobody", b"404 Not Found"), (await client.create(), b"100 Continue")]:
        reader, writer = await asyncio.open_connection(host, int(port))
        head = f"PUT {path}/file HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\n"
        writer.write(f"{head}Expect: 100-continue\r\nContent-Length: 4\r\n\r\n".encode())
        assert await reader.readline() == b"HTTP/1.1 " + line + b"\r\n"
        if b"100" in line:
            writer.write(b"data")
            assert await reader.readline() == b"\r\n"
            assert await reader.readline() == b"HTTP/1.1 204 No Content\r\n"
        writer.transport.abort()


async def test_a_stop_in_mid_upload_leaves_the_image_queued(tmp_path: Path) -> None:
    config = config_for(tmp_path, {"server": {"drain_s": 0.1}})
    async with serving(config) as served:
        client = Client(served)
        path = await client.create()
        _, writer = await started(client, path, 4 * MIB)
    writer.transport.abort()
    async with serving(config) as served:
        await assert_untouched(Client(served), path, tmp_path)


class _Forgetful:
    """A registry's images whose first update to active loses its answer, after or before it was done."""

    def __init__(self, inner: Any, *, does_it: bool) -> None:
        self._inner, self._does_it = inner, does_it

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def update(self, context: Context, image_id: str, changes: ImageChanges, **kept: Any) -> Image:
        is_last = changes.columns.get("status") is Status.ACTIVE
        if not is_last or self._does_it:
            image: Image = await self._inner.update(context, image_id, changes, **kept)
        if is_last:
            raise Unavailable("the registry")
        return image


@dataclass(frozen=True)
class _Registry:
    images: _Forgetful


@pytest.mark.parametrize("does_it", [True, False])
async def test_an_answer_that_the_registry_loses_loses_no_data(client: Client, tmp_path: Path, does_it: bool) -> None:
    """Done or not done is found out: an active image has its data, any other has none."""
    path = await client.create()
    registry = _Registry(images=_Forgetful(client.served.services.registry.images, does_it=does_it))
    async with served_with(client.served, registry=registry) as unlucky:
        status = await put(unlucky, path, b"data")
    if does_it:
        assert status == 204
        assert (await client.ask("GET", f"{path}/file")).body == b"data"
    else:
        assert status == 503
        await assert_untouched(client, path, tmp_path)


async def test_an_error_body_says_what_was_wrong(client: Client) -> None:
    path = await client.create(disk_format="qcow2")
    answer = await client.ask("PUT", f"{path}/file", data=b"x" * 2000, headers=OCTETS | {"Accept": "application/json"})
    assert json.loads(answer.body)["message"].startswith("Image disk_format qcow2 does not match stream data raw")
