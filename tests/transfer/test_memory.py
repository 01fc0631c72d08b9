"""What images of any size cost a Glint's memory: next to nothing, whichever store they go to and come from."""

import hashlib
import http.client
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.content import GIB, KIB, MIB, Noise
from tests.glint import Glint
from tests.origin import Origin
from tests.peers import Swift

Backend = Mapping[str, Any]
SMALL, LARGE = 96 * MIB, 4 * GIB
SMALL_GROWTH, LARGE_GROWTH = 64 * MIB, 128 * MIB
WARM = Noise(20 * MIB, seed=1)


def _file(_: pytest.FixtureRequest) -> Backend:
    return {"kind": "file", "dir": "remote"}


def _http(_: pytest.FixtureRequest) -> Backend:
    return {"kind": "http"}


def _swift(request: pytest.FixtureRequest) -> Backend:
    swift: Swift = request.getfixturevalue("swift")
    account = {"auth_version": 1, "auth_address": swift.auth_url, "user": swift.user, "key": swift.key}
    return {"kind": "swift", "references": {"ref1": account}, "container": "memory", "create_container": True}


def _swift_in_segments(request: pytest.FixtureRequest) -> Backend:
    return {**_swift(request), "large_object_size": "16 MiB", "large_object_chunk_size": "16 MiB"}


def _s3(request: pytest.FixtureRequest) -> Backend:
    swift: Swift = request.getfixturevalue("swift")
    keys = {"access_key": swift.s3.access, "secret_key": swift.s3.secret}
    return {"kind": "s3", "endpoint": swift.url, **keys, "bucket": "memory-s3", "create_bucket": True}


STORES: Mapping[str, Callable[[pytest.FixtureRequest], Backend]] = {
    "file": _file,
    "http": _http,
    "swift": _swift,
    "swift in segments": _swift_in_segments,
    "s3": _s3,
}
SHORT = {"http", "swift in segments"}


@contextmanager
def glint_with(backend: Backend, folder: Path) -> Iterator[Glint]:
    """With the one store that is asked; both of its directions are warm."""
    settings: dict[str, Any] = {"stores.backends.remote": dict(backend), "cache.size_max": "6 GiB"}
    settings |= {"logging.level": "warning", "stores.default": "local" if backend["kind"] == "http" else "remote"}
    with Glint(folder, settings) as glint:
        yield glint


def upload(glint: Glint, content: Noise) -> str:
    """The id of an image that went there piece by piece."""
    image_id = glint.create()
    with closing(http.client.HTTPConnection("127.0.0.1", glint.port, timeout=600)) as connection:
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(content.size_bytes)}
        connection.request("PUT", f"/v2/images/{image_id}/file", content.pieces(), headers)
        answer = connection.getresponse()
        assert answer.status == 204, answer.read()
    return image_id


def download(glint: Glint, image_id: str) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with closing(http.client.HTTPConnection("127.0.0.1", glint.port, timeout=600)) as connection:
        connection.request("GET", f"/v2/images/{image_id}/file")
        answer = connection.getresponse()
        while piece := answer.read(256 * KIB):
            digest.update(piece)
    return digest.hexdigest()


def remove(glint: Glint, image_id: str) -> None:
    """From store and cache: what is left of a long form would fill the disk."""
    assert glint.request("DELETE", f"/v2/images/{image_id}", timeout_s=600).status == 204
    assert glint.request("DELETE", f"/v2/cache/{image_id}").status in {204, 404}


class Memory:
    """Of one process. `begin` makes what it has now the least that its peak can be."""

    def __init__(self, pid: int) -> None:
        self._proc = Path(f"/proc/{pid}")
        self._before = 0

    def begin(self) -> None:
        (self._proc / "clear_refs").write_text("5")
        self._before = self._read("VmRSS")

    @property
    def growth_bytes(self) -> int:
        """How much more than at the beginning it had at any moment since."""
        return self._read("VmHWM") - self._before

    def _read(self, name: str) -> int:
        lines = (self._proc / "status").read_text().splitlines()
        return next(int(line.split()[1]) * KIB for line in lines if line.startswith(f"{name}:"))


def growths(backend: Backend, content: Noise, folder: Path) -> dict[str, int]:
    """Of a Glint while it takes the image, and while it fills its cache with it."""
    seen: dict[str, int] = {}
    with ExitStack() as stack:
        glint = stack.enter_context(glint_with(backend, folder))
        origin = stack.enter_context(Origin())

        def put(content: Noise) -> str:
            if backend["kind"] != "http":
                return upload(glint, content)
            origin.add("image", content)
            return glint.register(origin.url("image"), content, algorithm="md5")

        warm = put(WARM)
        assert download(glint, warm) == WARM.digest("md5")
        remove(glint, warm)
        memory = Memory(glint.pid)
        memory.begin()
        image_id = put(content)
        seen["upload"] = memory.growth_bytes
        memory.begin()
        right = download(glint, image_id) == content.digest("md5")
        seen["fill"] = memory.growth_bytes
        remove(glint, image_id)
        assert right
    return seen


@pytest.mark.parametrize("store", sorted(SHORT))
def test_an_image_is_never_held_in_memory(request: pytest.FixtureRequest, tmp_path: Path, store: str) -> None:
    seen = growths(STORES[store](request), Noise(SMALL + 5, seed=2), tmp_path)
    print(store, {step: f"{grown / MIB:.1f} MiB" for step, grown in seen.items()})
    assert {step: grown for step, grown in seen.items() if grown > SMALL_GROWTH} == {}


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("store", STORES)
def test_four_gib_cost_no_more_than_128_mib(request: pytest.FixtureRequest, tmp_path: Path, store: str) -> None:
    seen = growths(STORES[store](request), Noise(LARGE + 5, seed=3), tmp_path)
    print(store, {step: f"{grown / MIB:.1f} MiB" for step, grown in seen.items()})
    assert {step: grown for step, grown in seen.items() if grown > LARGE_GROWTH} == {}
