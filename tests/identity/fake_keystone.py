"""A Keystone on a real socket that misbehaves on demand; for everything else the tests start a real one."""

import asyncio
import json
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from upstream.identity import KeystoneConfig

Fault = Callable[[web.Request], Awaitable[web.StreamResponse]]

FOREVER = "2100-01-01T00:00:00.000000Z"
LONG_AGO = "2001-01-01T00:00:00.000000Z"


def document(
    *,
    user: str = "demo",
    project: str | None = "p1",
    roles: tuple[str, ...] = ("member",),
    expires_at: str = FOREVER,
    **more: Any,
) -> dict[str, Any]:
    scope = {} if project is None else {"project": {"id": project, "name": project, "domain": {"id": "default"}}}
    token = {
        "user": {"id": user, "name": user, "domain": {"id": "default", "name": "Default"}},
        "roles": [{"id": role, "name": role} for role in roles],
        "expires_at": expires_at,
        "catalog": [{"type": "image"}],
    }
    return {"token": token | scope | more}


class FakeKeystone:
    """Knows `tokens`. The next requests meet `faults` first, one each."""

    def __init__(self) -> None:
        self.tokens: dict[str, dict[str, Any]] = {}
        self.faults: deque[Fault] = deque()
        self.counts: Counter[str] = Counter()
        self.queries: list[dict[str, str]] = []
        self.own: set[str] = set()
        self.own_expires_at = FOREVER
        self.password = "secret"
        self.url = ""

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        app = web.Application()
        app.router.add_post("/identity/v3/auth/tokens", self._login)
        app.router.add_get("/identity/v3/auth/tokens", self._validate, allow_head=False)
        app.router.add_get("/identity/v3/{resource:.+}", self._resource, allow_head=False)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/identity"
            yield
        finally:
            await runner.cleanup()

    def config(self, **changes: Any) -> KeystoneConfig:
        known = {"auth_url": self.url, "username": "glint", "password": "secret", "http_request_max_retries": 1}
        return KeystoneConfig.model_validate(known | changes)

    async def _login(self, request: web.Request) -> web.StreamResponse:
        self.counts["login"] += 1
        if self.faults:
            return await self.faults.popleft()(request)
        body = await request.json()
        user = body["auth"]["identity"]["password"]["user"]
        if user["password"] != self.password:
            return web.json_response({"error": {"code": 401}}, status=401)
        token = f"own-{self.counts['login']}"
        self.own.add(token)
        said = document(user="glint", project="service", roles=("service",), expires_at=self.own_expires_at)
        return web.json_response(said, status=201, headers={"X-Subject-Token": token})

    async def _validate(self, request: web.Request) -> web.StreamResponse:
        self.counts["validate"] += 1
        self.queries.append(dict(request.query))
        if self.faults:
            return await self.faults.popleft()(request)
        if request.headers["X-Auth-Token"] not in self.own:
            return web.json_response({"error": {"code": 401}}, status=401)
        found = self.tokens.get(request.headers["X-Subject-Token"])
        if found is None or (found["token"]["expires_at"] == LONG_AGO and "allow_expired" not in request.query):
            return web.json_response({"error": {"code": 404}}, status=404)
        return web.json_response(found)

    def resources(self) -> dict[str, Any]:
        """Documents by path, for those who are logged in."""
        return {}

    async def _resource(self, request: web.Request) -> web.StreamResponse:
        resource = request.match_info["resource"]
        self.counts[resource] += 1
        if self.faults:
            return await self.faults.popleft()(request)
        if request.headers["X-Auth-Token"] not in self.own:
            return web.json_response({"error": {"code": 401}}, status=401)
        return web.json_response(self.resources()[resource])


def answer(status: int, body: Any = None, **headers: str) -> Fault:
    async def fault(request: web.Request) -> web.StreamResponse:
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(status=status, text=text, headers=headers)

    return fault


async def cut(request: web.Request) -> web.StreamResponse:
    """Half an answer, and the connection is gone."""
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"token": ')
    assert request.transport is not None
    request.transport.abort()
    return response


async def hang(request: web.Request) -> web.StreamResponse:
    """No answer before the client gives up."""
    await asyncio.Event().wait()
    raise AssertionError


async def endless(request: web.Request) -> web.StreamResponse:
    """An answer without an end."""
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b" " * 65536)
