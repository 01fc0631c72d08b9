"""Asks a served Glint and keeps the whole answer. `patched_by` and `octets` name the media types of Glance."""

import io
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from multidict import CIMultiDictProxy

from proxy.app import build_app
from proxy.listening import address_of, bind, serving
from tests.served import Served

V21 = "application/openstack-images-v2.1-json-patch"
OCTETS = {"Content-Type": "application/octet-stream"}


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


@asynccontextmanager
async def served_with(served: Served, **services: Any) -> AsyncIterator["Client"]:
    """The same Glint behind a second port, with some of its services replaced."""
    listeners = await bind("127.0.0.1", 0, "server")
    host, port = address_of(listeners)
    async with serving(build_app(replace(served.services, **services)), listeners, drain_s=5):
        yield Client(replace(served, url=f"http://{host}:{port}"))


@dataclass(frozen=True, slots=True)
class Client:
    served: Served

    async def ask(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        data: bytes | str | AsyncIterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One exchange; redirects are not followed."""
        if isinstance(data, str):
            data = data.encode()
        # As a file: aiohttp warns of large bodies that it would write in one go.
        body = io.BytesIO(data) if isinstance(data, bytes) else data
        async with self.served.session.request(
            method, f"{self.served.url}{path}", json=json, data=body, headers=headers, allow_redirects=False
        ) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    async def create(self, **fields: Any) -> str:
        """The path of a new image, ready to be filled."""
        answer = await self.ask("POST", "/v2/images", json={"disk_format": "raw", "container_format": "bare"} | fields)
        assert answer.status == 201, answer.text
        return str(answer.json["self"])

    async def upload(self, data: bytes, **fields: Any) -> str:
        path = await self.create(**fields)
        answer = await self.ask("PUT", f"{path}/file", data=data, headers=OCTETS)
        assert answer.status == 204, answer.text
        return path

    async def show(self, path: str) -> Any:
        answer = await self.ask("GET", path)
        assert answer.status == 200, answer.text
        return answer.json

    async def patch(self, path: str, *operations: Any, media_type: str = V21) -> Answer:
        return await self.ask("PATCH", path, data=json.dumps(operations), headers={"Content-Type": media_type})
