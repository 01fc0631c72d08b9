"""Images of a Glint whose only store is Swift: uploaded, listed, downloaded cold and hot, deleted."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.stores.peers.swift import swift_config
from tests.glint import LEFT_OUT, Glint
from tests.origin import MIB, Noise
from tests.peers import Swift


@pytest.fixture
def container(swift: Swift) -> str:
    return swift_config(swift).container


@pytest.fixture
def glint(tmp_path: Path, swift: Swift, container: str) -> Iterator[Glint]:
    reference = {"auth_address": swift.auth_url, "auth_version": 1, "user": swift.user, "key": swift.key}
    backend = {
        "kind": "swift",
        "references": {"ref1": reference},
        "container": container,
        "create_container": True,
        "large_object_size": "2 MiB",
        "large_object_chunk_size": "1 MiB",
    }
    backends = {"objects": backend, "local": LEFT_OUT, "web": LEFT_OUT}
    with Glint(tmp_path, {"stores": {"default": "objects", "backends": backends}}) as served:
        yield served


def test_small_and_large_images_live_in_swift(glint: Glint, swift: Swift, container: str) -> None:
    small, large = Noise(MIB, seed=1), Noise(5 * MIB + 3, seed=2)
    ids = [glint.upload(content.read()) for content in (small, large)]

    assert [name for name in swift.api.names(container) if name in ids] == sorted(ids)
    assert len([name for name in swift.api.names(container) if name.startswith(f"{ids[1]}-")]) == 6
    read_bytes = 0
    for image_id, content in zip(ids, (small, large), strict=True):
        image = glint.get(f"/v2/images/{image_id}").json
        assert (image["status"], image["size"], image["stores"]) == ("active", content.size_bytes, "objects")
        for _ in ("cold", "hot"):
            answer = glint.get(f"/v2/images/{image_id}/file")
            assert (answer.status, answer.content) == (200, content.read())
        read_bytes += content.size_bytes
        glint.until_counted(read_bytes, "glint_store_bytes_total", store="objects", operation="read")
        part = glint.request("GET", f"/v2/images/{image_id}/file", headers={"Range": "bytes=5-9"})
        assert (part.status, part.content) == (206, content.read(5, 10))

    detail = glint.get("/v2/info/stores/detail").json["stores"]
    assert detail[0]["properties"] == {
        "container": container,
        "large_object_size": 2 * MIB,
        "large_object_chunk_size": MIB,
    }
    for image_id in ids:
        assert glint.request("DELETE", f"/v2/images/{image_id}").status == 204
    assert swift.api.names(container) == []
    assert swift.key not in glint.log
