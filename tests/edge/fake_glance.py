"""A Glance on a real socket that does as it is told: for faults that a real one cannot be made to have.

What it answers when all is well is what a real one does; `test_real_glance.py` shows that Glint takes both alike.
"""

import asyncio
import hashlib
import json
import re
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

ADMIN, DEMO, ALT = "token-of-admin", "token-of-demo", "token-of-alt"
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_PIECE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Fault:
    """One answer to GET …/file gone wrong. Positions are of the body that is sent."""

    cut_at: int | None = None
    hang_at: int | None = None
    status: int | None = None
    ignores_range: bool = False
    data: bytes | None = None


@dataclass(slots=True)
class FakeImage:
    id: str
    data: bytes
    allowed: set[str] = field(default_factory=lambda: {ADMIN, DEMO, ALT})
    fields: dict[str, Any] = field(default_factory=dict)

    @property
    def document(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "status": "active",
            "size": len(self.data),
            "checksum": hashlib.md5(self.data).hexdigest(),
            "os_hash_algo": "sha512",
            "os_hash_value": hashlib.sha512(self.data).hexdigest(),
            "self": f"/v2/images/{self.id}",
        } | self.fields


@dataclass(slots=True)
class Upload:
    received_bytes: int = 0
    is_whole: bool | None = None  # None while it goes on


class FakeGlance:
    """`reads` are the byte ranges of which data were sent, with whose token; `asked` counts requests by kind."""

    def __init__(self) -> None:
        self.url = ""
        self.images: dict[str, FakeImage] = {}
        self.faults: list[Fault] = []
        self.reads: list[tuple[int, str]] = []
        self.asked: Counter[str] = Counter()
        self.uploads: list[Upload] = []
        self.may_read = asyncio.Event()  # whether uploads are read
        self.may_read.set()
        self.upload_answer = (204, "")
        self.early_answer: tuple[int, str] | None = None
        self.sent_bytes = 0
        self.is_silent = False
        self.pause_s = 0.0  # from the end of an upload to the answer
        self.closes_kept = False
        self.has_cache_api = True
        self.released = asyncio.Event()

    def add(self, data: bytes, image_id: str = "11111111-2222-4333-8444-555555555555") -> FakeImage:
        image = self.images[image_id] = FakeImage(image_id, data)
        return image

    async def dispatch(self, request: web.Request) -> web.StreamResponse:
        if self.is_silent:
            await self.released.wait()
        response = await self._answer(request)
        if self.closes_kept and request.transport is not None and isinstance(response, web.Response):
            # Closed in silence when the answer is out: the client believes that it may use the connection again.
            asyncio.get_running_loop().call_later(0.05, request.transport.abort)
        return response

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        parts = request.path.strip("/").split("/")
        if parts[:2] == ["v2", "cache"]:
            return self._cache(request)
        if parts[:2] != ["v2", "images"] or len(parts) < 3:
            return await self._echo(request)
        if request.method == "PUT":
            return await self._upload(request)
        image, token = self.images.get(parts[2]), request.headers.get("X-Auth-Token", "")
        if token not in {ADMIN, DEMO, ALT}:
            return web.Response(status=401, text="who", headers={"WWW-Authenticate": 'Keystone uri="http://k"'})
        if image is None or token not in image.allowed:
            return web.Response(status=404, text=f"No image found with ID {parts[2]}")
        if request.method == "DELETE":
            del self.images[image.id]
            return web.Response(status=204)
        if request.method == "PATCH":
            return web.json_response(image.document)
        if parts[3:] == ["file"]:
            return await self._file(request, image, token)
        self.asked["describe"] += 1
        return web.json_response(image.document)

    async def _file(self, request: web.Request, image: FakeImage, token: str) -> web.StreamResponse:
        data, start, stop = image.data, 0, len(image.data)
        asked = _RANGE.fullmatch(request.headers.get("Range", ""))
        if asked is not None:
            if image.document["size"] is None and request.transport is not None:
                request.transport.abort()  # a TypeError in Glance, of which uWSGI tells nobody
                raise ConnectionResetError
            start = int(asked[1])
            stop = int(asked[2]) + 1 if asked[2] else stop
            if start >= len(data):
                self.asked["authorize"] += 1
                return web.Response(status=416, text="Invalid start position in Range header.")
        fault = self.faults.pop(0) if self.faults else Fault()
        if fault.status is not None:
            return web.Response(status=fault.status, text="told so")
        is_part = asked is not None and not fault.ignores_range
        body = fault.data if fault.data is not None else data[start:stop] if is_part else data
        self.reads.append((start if is_part else 0, token))
        response = web.StreamResponse(status=206 if is_part else 200)
        response.content_length = len(body)
        if is_part:
            response.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
        response.headers["Content-MD5"] = image.document["checksum"]
        await response.prepare(request)
        await self._send(request, response, body, fault)
        return response

    async def _send(self, request: web.Request, response: web.StreamResponse, body: bytes, fault: Fault) -> None:
        for at in range(0, len(body), _PIECE):
            for limit, act in ((fault.cut_at, self._cut), (fault.hang_at, self._hang)):
                if limit is not None and at >= limit:
                    await act(request)
            piece = body[at : at + _PIECE]
            await response.write(piece)
            self.sent_bytes += len(piece)
        await response.write_eof()

    async def _cut(self, request: web.Request) -> None:
        await asyncio.sleep(0.05)  # so that what was sent before arrives
        assert request.transport is not None
        request.transport.abort()
        raise ConnectionResetError

    async def _hang(self, request: web.Request) -> None:
        await self.released.wait()
        raise ConnectionResetError

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        upload = Upload()
        self.uploads.append(upload)
        if self.early_answer is not None:
            status, text = self.early_answer
            return web.Response(status=status, text=text)
        if request.headers.get("Expect") and request.transport is not None:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        try:
            while True:
                await self.may_read.wait()
                piece = await request.content.readany()
                if not piece:
                    break
                upload.received_bytes += len(piece)
        except Exception:
            upload.is_whole = False
            raise
        upload.is_whole = True
        await asyncio.sleep(self.pause_s)
        status, text = self.upload_answer
        return web.Response(status=status, text=text)

    def _cache(self, request: web.Request) -> web.Response:
        token = request.headers.get("X-Auth-Token", "")
        if not self.has_cache_api:
            return web.Response(status=404, text="The resource could not be found.")
        if token != ADMIN:
            return web.Response(status=403 if token in {DEMO, ALT} else 401, text="cache_list")
        return web.Response(status=404, text="Caching via API is not supported at this site.")

    async def _echo(self, request: web.Request) -> web.Response:
        """What came, as JSON, with headers that a gateway has to look after."""
        self.asked["echo"] += 1
        body = await request.read()
        seen = {
            "method": request.method,
            "target": request.raw_path,
            "headers": [[name, value] for name, value in request.headers.items()],
            "body": body.decode(),
        }
        headers = {
            "x-openstack-request-id": request.headers.get("X-Openstack-Request-Id", ""),
            "X-Private": "between us",
            "Connection": "X-Private",
            "Location": f"{self.url}/v2/images/new",
        }
        return web.Response(status=201, text=json.dumps(seen), content_type="application/json", headers=headers)


@asynccontextmanager
async def fake_glance(tls: ssl.SSLContext | None = None) -> AsyncIterator[FakeGlance]:
    fake = FakeGlance()
    app = web.Application()

    async def later(request: web.Request) -> None:
        """The handler says 100 Continue, or does not."""

    app.router.add_route("*", "/{path:.*}", fake.dispatch, expect_handler=later)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        host, port = runner.addresses[0][:2]
        fake.url = f"{'https' if tls else 'http'}://{host}:{port}"
        yield fake
    finally:
        fake.released.set()
        fake.may_read.set()
        await runner.cleanup()
