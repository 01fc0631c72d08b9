"""The registry as a service: what its Protocols declare, over HTTP, for those who have the key."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from aiohttp import web

from metrics import RegistryInstruments
from upstream.errors import Invalid, UpstreamError
from upstream.registry import sql
from upstream.registry.base import Registry
from upstream.registry.config import RegistryConfig, RegistryMisconfigured
from upstream.registry.wire import (
    OPERATIONS,
    PREFIX,
    SIGNATURE,
    Gate,
    Headers,
    Mistaken,
    Refused,
    Sealed,
    Unreadable,
    dumps,
    from_headers,
    loads,
    to_document,
)
from upstream.types import Context

log = structlog.get_logger(__name__)

BODY_MAX_BYTES = 64 * 1024 * 1024
_CHECK_KEPT_S = 1.0
_CHECK_S = 5.0
_NOBODY = Context()
_COMMON = {"Server": "glint"}  # and not of what versions it is made


@asynccontextmanager
async def open_service(config: RegistryConfig, instruments: RegistryInstruments) -> AsyncIterator[web.Application]:
    """Over the database of `registry.url`, whatever kind of registry this host's own Glint has.

    Raises RegistryMisconfigured, and Unavailable if the database is.
    """
    if not config.remote.keys:
        raise RegistryMisconfigured(
            "registry.remote.key: registry serve needs it, and each Glint that asks it the same one: 32 "
            "characters or more, such as `openssl rand -hex 32` makes"
        )
    if config.kind == "glance":
        raise RegistryMisconfigured("registry.kind: registry serve serves a database, and no Glance's metadata")
    async with sql.open_registry(config) as registry:
        yield build_service(registry, config.remote.keys, instruments)


def build_service(registry: Registry, keys: Sequence[bytes], instruments: RegistryInstruments) -> web.Application:
    """The application; whoever runs it owns `registry`. `keys` are all that are taken."""
    service = Service(registry, keys, instruments)
    app = web.Application(client_max_size=BODY_MAX_BYTES)
    app.router.add_get("/healthcheck", Health(registry).show)
    app.router.add_route("*", r"/{path:[\s\S]*}", service.answer)
    return app


class Health:
    """For load balancers and monitoring, without a key. However often it is asked, the database is once a second."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._is_well, self._checked_s = True, 0.0

    async def show(self, request: web.Request) -> web.Response:
        now_s = time.monotonic()
        if now_s - self._checked_s > _CHECK_KEPT_S:
            self._checked_s = now_s
            self._is_well = await self._check()
        status, text = (200, "OK") if self._is_well else (503, "UNAVAILABLE")
        return web.Response(status=status, text=text, headers=_COMMON)

    async def _check(self) -> bool:
        try:
            async with asyncio.timeout(_CHECK_S):
                await self._registry.check()
        except (UpstreamError, TimeoutError):
            return False
        return True


@dataclass(slots=True)
class _Record:
    """What the log says of a request that was let in."""

    operation: str = "unknown"
    result: str = "cancelled"
    context: Context = _NOBODY


class Service:
    """One process of it. Its audience is a name that no other process has, nor this one after a restart."""

    def __init__(self, registry: Registry, keys: Sequence[bytes], instruments: RegistryInstruments) -> None:
        self._registry, self._instruments = registry, instruments
        self._gate = Gate(keys, secrets.token_hex(16))

    async def answer(self, request: web.Request) -> web.Response:
        began_s, record = time.monotonic(), _Record()
        try:
            sealed, body = await self._let_in(request)
        except Refused as refused:
            return self._refuse(request, refused)
        try:
            status, document = await self._carry_out(request, body, record)
            return _answer(sealed, status, document)
        finally:
            self._observe(request, record, time.monotonic() - began_s)

    async def _let_in(self, request: web.Request) -> tuple[Sealed, bytes]:
        """Nothing of a body is read before the signature is found to be good. Raises Refused."""
        if request.method != "POST":
            raise Refused("unsigned")
        sealed = self._gate.admit(request.raw_path, Headers.read(tuple(request.headers.items())), time.time())
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge as error:
            raise Mistaken("body", sealed, bytes_max=BODY_MAX_BYTES) from error
        sealed.check_body(body)
        return sealed, body

    async def _carry_out(self, request: web.Request, body: bytes, record: _Record) -> tuple[int, Any]:
        try:
            return 200, await self._result(request, body, record)
        except UpstreamError as error:
            record.result = type(error).__name__
            return 400, to_document(error)
        except Exception as error:
            record.result = "failed"
            log.error("request.failed", operation=record.operation, error=type(error).__name__, exc_info=error)
            return 500, None

    async def _result(self, request: web.Request, body: bytes, record: _Record) -> Any:
        """Raises what the registry raises, and Invalid for what it cannot be asked."""
        operation = OPERATIONS.get(request.raw_path.removeprefix(PREFIX))
        if operation is None:
            raise Invalid("The registry service knows no such operation: it is of another version")
        record.operation = operation.name
        try:
            record.context = from_headers(request.headers)
            arguments = operation.unpack(loads(body))
        except Unreadable as error:
            raise Invalid(f"The registry service does not understand {operation.name}: {error}") from error
        result = operation.result.encode(await operation.call(self._registry, record.context, arguments))
        record.result = "ok"
        return result

    def _refuse(self, request: web.Request, refused: Refused) -> web.Response:
        self._instruments.refusals.labels(refused.reason).inc()
        told: Mapping[str, Any] = refused.told if isinstance(refused, Mistaken) else {}
        if refused.reason != "audience":
            log.warning("request.refused", reason=refused.reason, remote=request.remote, late_s=told.get("late_s"))
        if isinstance(refused, Mistaken):
            return _answer(refused.sealed, 401, told)
        return web.Response(status=401, headers={**_COMMON, "WWW-Authenticate": "Glint-Registry"})

    def _observe(self, request: web.Request, record: _Record, took_s: float) -> None:
        self._instruments.requests.labels(record.operation, record.result).inc()
        self._instruments.request_seconds.labels(record.operation).observe(took_s)
        log.info(
            "request.finished",
            operation=record.operation,
            result=record.result,
            duration_s=round(took_s, 4),
            remote=request.remote,
            request_id=record.context.request_id,
            user_id=record.context.user_id,
            project_id=record.context.project_id,
        )


def _answer(sealed: Sealed, status: int, document: Any) -> web.Response:
    body = dumps(document)
    headers = {**_COMMON, SIGNATURE: sealed.seal(status, body)}
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)
