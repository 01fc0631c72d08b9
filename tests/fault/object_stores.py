"""Real Swift and S3 servers, Ceph's gateway among these, behind relays, and a Glint that keeps its images in them."""

import asyncio
import itertools
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from botocore.exceptions import ClientError

from cache import Span
from tests.content import MIB, Content
from tests.contract.stores.peers.s3 import RgwBucket
from tests.peers import Rgw, Swift
from tests.relay import Relay
from tests.served import Served, config_for, serving

SOON_S = 30.0
PART_BYTES = {"swift": MIB, "s3": 5 * MIB}
_NUMBERS = itertools.count()
_TIMES = {"connect_s": 2.0, "first_byte_s": 5.0, "idle_s": 5.0}  # a busy machine is no hanging store


@dataclass(frozen=True, slots=True)
class Step:
    """One request of an upload or a download. `pattern` holds `ID` in the place of an image's."""

    method: str
    pattern: str

    def of(self, image_id: str) -> tuple[str, str]:
        """Method and pattern, for `Relay.on`."""
        return self.method, self.pattern.replace("ID", image_id)


@dataclass(frozen=True, slots=True)
class ObjectStore:
    """`backend` is its entry in `stores.backends`; `names` lists all that lies in it, what nobody sees too."""

    kind: str
    relay: Relay
    backend: Mapping[str, Any]
    names: Callable[[], list[str]]
    read: Step
    steps: Mapping[str, Step]
    """Of uploads: `whole` of a small one; of one in parts the `first`, the `second`, and what `ends` it."""

    @property
    def part_bytes(self) -> int:
        return PART_BYTES[self.kind]

    async def is_empty(self) -> bool:
        return not await asyncio.to_thread(self.names)


def swift_store(swift: Swift, relay: Relay) -> ObjectStore:
    """With tempauth, which names the relay as its storage URL since it was asked there."""
    container = _fresh_name()
    path = f"/{re.escape(container)}/ID"
    address = f"{relay.url}/auth/v1.0"
    account = {"auth_version": 1, "auth_address": address, "user": swift.user, "key": swift.key}
    return ObjectStore(
        "swift",
        relay,
        {
            "kind": "swift",
            "references": {"ref1": account},
            "container": container,
            "create_container": True,
            "large_object_size": PART_BYTES["swift"],
            "large_object_chunk_size": PART_BYTES["swift"],
            **_TIMES,
        },
        lambda: swift.api.names(container),
        Step("GET", f"{path}$"),
        {
            "whole": Step("PUT", f"{path}$"),
            "first": Step("PUT", f"{path}-00001$"),
            "second": Step("PUT", f"{path}-00002$"),
            "ends": Step("PUT", f"{path}$"),
        },
    )


def s3_store(swift: Swift, relay: Relay) -> ObjectStore:
    """The same Swift's S3. Parts of uploads lie in a container that S3 does not show."""
    bucket = _fresh_name()
    path = f"/{re.escape(bucket)}/ID"
    return ObjectStore(
        "s3",
        relay,
        s3_backend(relay.url, bucket, swift.s3.access, swift.s3.secret),
        lambda: swift.api.names(bucket) + swift.api.names(f"{bucket}+segments"),
        Step("GET", f"{path}$"),
        s3_steps(path),
    )


def rgw_store(rgw: Rgw, relay: Relay) -> ObjectStore:
    """S3 of a Ceph. It shows no parts, but the uploads that they belong to."""
    bucket = _fresh_name()
    path = f"/{re.escape(bucket)}/ID"
    return ObjectStore(
        "s3",
        relay,
        s3_backend(relay.url, bucket, rgw.access_key, rgw.secret_key),
        lambda: _names_in(RgwBucket(rgw, name=bucket)),
        Step("GET", f"{path}$"),
        s3_steps(path),
    )


def _names_in(bucket: RgwBucket) -> list[str]:
    """Nothing, if the bucket was not made yet."""
    try:
        return asyncio.run(bucket.names())
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchBucket":
            raise
        return []


def s3_backend(url: str, bucket: str, access_key: str, secret_key: str) -> Mapping[str, Any]:
    return {
        "kind": "s3",
        "endpoint": url,
        "access_key": access_key,
        "secret_key": secret_key,
        "bucket": bucket,
        "create_bucket": True,
        "complete_s": 5.0,
        "large_object_size": PART_BYTES["s3"],
        "large_object_chunk_size": PART_BYTES["s3"],
        **_TIMES,
    }


def s3_steps(path: str) -> Mapping[str, Step]:
    return {
        "whole": Step("PUT", f"{path}$"),
        "begins": Step("POST", rf"{path}\?uploads"),
        "first": Step("PUT", rf"{path}\?.*partNumber=1\b"),
        "second": Step("PUT", rf"{path}\?.*partNumber=2\b"),
        "ends": Step("POST", rf"{path}\?.*uploadId="),
    }


@dataclass(frozen=True, slots=True)
class Maker:
    """`server` is the fixture that `make` gets."""

    kind: str
    server: str
    make: Callable[[Any, Relay], ObjectStore]
    is_short: bool = True


OBJECT_STORES: Mapping[str, Maker] = {
    "swift": Maker("swift", "swift", swift_store),
    "s3": Maker("s3", "swift", s3_store),
    "rgw": Maker("s3", "rgw", rgw_store, is_short=False),
}


@dataclass(frozen=True, slots=True)
class Scene:
    """A Glint whose default store is the object store behind the relay."""

    glint: Served
    store: ObjectStore

    @property
    def relay(self) -> Relay:
        return self.store.relay

    async def create(self) -> str:
        document = {"disk_format": "raw", "container_format": "bare"}
        async with self.glint.session.post(f"{self.glint.url}/v2/images", json=document) as answer:
            assert answer.status == 201, await answer.text()
            return str((await answer.json())["id"])

    async def put(self, image_id: str, content: Content, *, is_sized: bool = True) -> tuple[int, str]:
        """Status and text of the answer to an upload, which may come before its end."""
        headers = {"Content-Type": "application/octet-stream"}
        if is_sized:
            headers["Content-Length"] = str(content.size_bytes)
        url = self.glint.file_url(image_id)
        async with self.glint.session.put(url, data=_pieces(content), headers=headers) as answer:
            return answer.status, await answer.text()

    async def uploaded(self, content: Content) -> str:
        image_id = await self.create()
        status, text = await self.put(image_id, content)
        assert status == 204, text
        return image_id

    async def image(self, image_id: str) -> Any:
        async with self.glint.session.get(f"{self.glint.url}/v2/images/{image_id}") as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def delete(self, image_id: str) -> int:
        async with self.glint.session.delete(f"{self.glint.url}/v2/images/{image_id}") as answer:
            return answer.status

    async def forget(self, image_id: str) -> None:
        """The image is not cached afterwards, and nothing of it is on its way."""
        await until(self._is_tidy)
        async with self.glint.session.delete(f"{self.glint.url}/v2/cache/{image_id}") as answer:
            assert answer.status in {204, 404}

    async def outcome(self, image_id: str, content: Content, span: Span | None = None) -> str:
        """What a client could tell: `whole` for a right body, `cut` for one that did not end, `refused`."""
        headers = {"Range": f"bytes={span.start}-{span.stop - 1}"} if span else {}
        try:
            async with self.glint.session.get(self.glint.file_url(image_id), headers=headers) as answer:
                if answer.status not in {200, 206}:
                    assert answer.status in {204, 403, 503}, await answer.text()
                    return "refused"
                body = await answer.read()
        except (aiohttp.ClientError, asyncio.IncompleteReadError):
            return "cut"
        wanted = span or Span(0, content.size_bytes)
        assert body == content.read(wanted.start, wanted.stop), "a wrong body that looks right"
        return "whole"

    async def until_joined_by(self, image_id: str, readers: int) -> None:
        """Until so many wait for one fill, or read of it."""
        flights = self.glint.services.cache._flights  # nothing outside tells who waits

        def is_joined() -> bool:
            flight = flights.get(image_id)
            return flight is not None and flight.readers == readers and flight.located.is_set()

        await self.glint.until(is_joined)

    async def _is_tidy(self) -> bool:
        """No growing file, none on its way out, and nothing promised."""
        folder = self.glint.services.config.cache.dir
        left = await asyncio.to_thread(lambda: [*(folder / "fills").iterdir(), *(folder / "leaving").iterdir()])
        return not left and (await self.glint.services.cache.usage()).reserved_bytes == 0


@asynccontextmanager
async def scene_of(name: str, request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[Scene]:
    """With one of OBJECT_STORES."""
    maker = OBJECT_STORES[name]
    server: Any = request.getfixturevalue(maker.server)
    async with scene_with(partial(maker.make, server), server.port, folder) as scene:
        yield scene


@asynccontextmanager
async def scene_with(make: Callable[[Relay], ObjectStore], server_port: int, folder: Path) -> AsyncIterator[Scene]:
    """What breaks is asked again at once."""
    async with AsyncExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr("cache.resume.pause_s", lambda _failures, _chance: 0.001)
        patch.setattr("upstream.retry._SLOT_FIRST_S", 0.02)
        store = make(stack.enter_context(Relay(server_port)))
        stores = {"default": "remote", "backends": {"remote": dict(store.backend)}}
        config = config_for(folder, {"cache": {"fill_idle_s": 5}, "stores": stores})
        yield Scene(await stack.enter_async_context(serving(config)), store)


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait for what nobody announces."""
    async with asyncio.timeout(SOON_S):
        while not await holds():  # noqa: ASYNC110 - asked again and again
            await asyncio.sleep(0.02)


async def _pieces(content: Content) -> AsyncIterator[bytes]:
    for piece in content.pieces():
        yield bytes(piece)


def _fresh_name() -> str:
    return f"faults-{os.getpid()}-{next(_NUMBERS)}"
