"""One image in an S3 and in a Swift: copied from the one to the other, read on in the other, and deleted from both."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from tests.api.client import OCTETS, Client
from tests.contract.stores.peers.s3 import SwiftBucket
from tests.contract.stores.peers.swift import swift_config
from tests.glint import LEFT_OUT, Glint
from tests.imports.importing import wait_until
from tests.origin import MIB, Noise
from tests.peers import Swift
from tests.relay import Relay
from tests.served import config_for, serving

DATA = Noise(12 * MIB + 5, seed=17)


@dataclass(frozen=True, slots=True)
class Scene:
    client: Client
    relay: Relay  # before the S3, which is the heavier store
    bucket: SwiftBucket
    swift: Swift
    container: str

    async def left(self) -> list[str]:
        return [*await self.bucket.names(), *await asyncio.to_thread(self.swift.api.names, self.container)]


@pytest.fixture
async def scene(tmp_path: Path, swift: Swift) -> AsyncIterator[Scene]:
    bucket = await asyncio.to_thread(SwiftBucket, swift)
    with Relay(swift.port) as relay:
        objects = bucket.config(endpoint=relay.url, weight=10, large_object_size="5 MiB")
        segments = swift_config(swift, large_object_size="4 MiB", large_object_chunk_size="4 MiB")
        stores: Mapping[str, Any] = {
            "default": "objects",
            "backends": {"objects": _document(objects), "segments": _document(segments)},
        }
        async with serving(config_for(tmp_path, {"stores": stores})) as served:
            yield Scene(Client(served), relay, bucket, swift, segments.container)


def _document(config: Any) -> Mapping[str, Any]:
    """As config.yaml has it, secrets too."""
    secrets = {name: value.get_secret_value() for name, value in config if hasattr(value, "get_secret_value")}
    return {**config.model_dump(exclude_unset=True), **secrets}


async def in_both(client: Client) -> str:
    path = await client.create()
    assert (await client.ask("PUT", f"{path}/file", data=DATA.read(), headers=OCTETS)).status == 204
    asked = {"method": {"name": "copy-image"}, "stores": ["segments"]}
    assert (await client.ask("POST", f"{path}/import", json=asked)).status == 202
    async with asyncio.timeout(60):
        while (await client.show(path)).get("stores") != "objects,segments":  # noqa: ASYNC110 - a task of Glint's
            await asyncio.sleep(0.05)
        while "os_glance_import_task" in await client.show(path):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return path


async def test_an_image_in_two_stores_outlives_each_of_them(scene: Scene) -> None:
    client = scene.client
    path = await in_both(client)
    read_bytes = {"segments": 0.0}

    scene.relay.rate_bytes_s = 4 * MIB
    digest, got_bytes = hashlib.sha512(), 0
    async with client.served.session.get(f"{client.served.url}{path}/file") as answer:
        async for piece in answer.content.iter_any():
            digest.update(piece)
            got_bytes += len(piece)
            if got_bytes >= MIB and not scene.relay.is_down:
                read_bytes["segments"] = client.served.counted(
                    "glint_store_bytes_total", store="segments", operation="read"
                )
                scene.relay.is_down = True
    assert (got_bytes, digest.hexdigest()) == (DATA.size_bytes, DATA.digest())
    assert read_bytes == {"segments": 0.0}, "before the S3 broke off, nobody asked the Swift"

    assert (await client.ask("DELETE", path)).status == 503
    assert (await client.show(path))["status"] == "active"
    scene.relay.heal()
    async with asyncio.timeout(60):  # until the circuit is closed again
        while (status := (await client.ask("DELETE", path)).status) == 503:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    assert status == 204
    assert await scene.left() == []


def names_in(bucket: SwiftBucket) -> list[str]:
    return asyncio.run(bucket.names())


def test_what_a_killed_upload_left_in_a_store_goes_with_its_image(tmp_path: Path, swift: Swift) -> None:
    """Parts of an upload that nobody will end. The image stays `saving`, as no other process knows whose it was.

    Operators find it by that and by its age.
    """
    bucket = SwiftBucket(swift)
    objects = _document(bucket.config(large_object_size="5 MiB"))
    backends = {"objects": objects, "local": LEFT_OUT, "web": LEFT_OUT}
    with Glint(tmp_path, {"stores": {"default": "objects", "backends": backends}}) as glint:
        image_id = glint.create()
        with closing(HTTPConnection("127.0.0.1", glint.port, timeout=60)) as connection:
            connection.putrequest("PUT", f"/v2/images/{image_id}/file")
            for name, value in {**OCTETS, "Content-Length": str(DATA.size_bytes)}.items():
                connection.putheader(name, value)
            connection.endheaders()
            connection.send(DATA.read(0, 11 * MIB))
            wait_until(lambda: len(names_in(bucket)) > 1)  # the mark of the upload, and a part of it
            glint.kill()
        left = names_in(bucket)
        glint.start()
        assert glint.run("scrub").stdout == "0 locations: nothing is due\n"
        for moment, found in (("2100-01-01T00:00:00Z", [image_id]), ("2020-01-01T00:00:00Z", [])):
            images = glint.get(f"/v2/images?status=saving&updated_at=lt:{moment}").json["images"]
            assert [image["id"] for image in images] == found
        assert names_in(bucket) == left
        assert glint.request("DELETE", f"/v2/images/{image_id}").status == 204
        assert names_in(bucket) == []
