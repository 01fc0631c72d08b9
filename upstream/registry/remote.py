"""The registry that another process keeps: every method of the Protocols is one request to `glint registry serve`."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import structlog
from yarl import URL

from upstream.errors import Invalid, Unavailable
from upstream.http import is_loopback
from upstream.registry.base import Registry
from upstream.registry.config import RegistryConfig, RegistryMisconfigured
from upstream.registry.remote_lines import SERVICE, Exchange, Lines
from upstream.registry.wire import (
    OPERATIONS,
    PREFIX,
    Operation,
    Unreadable,
    dumps,
    from_document,
    loads,
    to_headers,
)

log = structlog.get_logger(__name__)

OK, FAILED = 200, 400


def open_registry(config: RegistryConfig) -> AbstractAsyncContextManager[Registry]:
    """Raises RegistryMisconfigured at once for what the configuration lacks. Entering raises Denied for a wrong key.

    A service that cannot be reached is no reason not to start: until it is there, everything raises Unavailable.
    """
    if config.remote.url is None:
        raise RegistryMisconfigured("registry.remote.url: kind remote needs it, such as http://10.0.0.5:9191")
    if not config.remote.keys:
        raise RegistryMisconfigured("registry.remote.key: kind remote needs the key that the registry service has")
    return _opened(config, URL(config.remote.url))


@asynccontextmanager
async def _opened(config: RegistryConfig, url: URL) -> AsyncIterator[Registry]:
    if url.scheme == "http" and not is_loopback(url.host or ""):
        log.warning("registry.plain", reason="what the registry says can be read on the network: keep it private")
    tls = await asyncio.to_thread(_tls_context, config) if url.scheme == "https" else None
    async with Lines(config, url, tls) as lines:
        registry = _registry(lines, config.connect_s + config.statement_s)
        try:
            async with asyncio.timeout(config.connect_s):
                await registry.check()
        except (TimeoutError, Unavailable) as error:
            log.warning("registry.unavailable", reason=str(error) or "no answer in time")
        yield registry


def _tls_context(config: RegistryConfig) -> ssl.SSLContext:
    """Raises RegistryMisconfigured."""
    try:
        return ssl.create_default_context(cafile=config.remote.ca_file)
    except OSError as error:
        raise RegistryMisconfigured(f"registry.remote.ca_file: cannot be read: {error.strerror or error}") from error


def _registry(exchange: Exchange, within_s: float) -> Registry:
    """Objects that have the Protocols' methods, made of the table of operations."""
    root = SimpleNamespace()
    for operation in OPERATIONS.values():
        *resources, method = operation.name.split(".")
        place = root
        for resource in resources:
            vars(place).setdefault(resource, SimpleNamespace())
            place = getattr(place, resource)
        setattr(place, method, partial(_ask, exchange, within_s, operation))
    return cast("Registry", root)


async def _ask(exchange: Exchange, within_s: float, operation: Operation, /, *args: Any, **kwargs: Any) -> Any:
    """Raises what the operation raises there, and Unavailable, Denied."""
    try:
        context, document = operation.pack(*args, **kwargs)
        body = dumps(document)
    except Unreadable as error:
        raise Invalid(f"The registry cannot be asked this: {error}") from error
    path, identity = f"{PREFIX}{operation.name}", to_headers(context)
    try:
        async with asyncio.timeout(within_s):
            status, answer = await exchange(path, body, identity, is_read=operation.is_read)
    except TimeoutError as error:
        raise Unavailable(SERVICE, "no answer in time") from error
    try:
        return _result(operation, status, loads(answer))
    except Unreadable as error:
        raise Unavailable(SERVICE, f"its answer cannot be understood: {error}; is it of another version?") from error


def _result(operation: Operation, status: int, document: Any) -> Any:
    """Raises Unreadable, and what went wrong there."""
    if status == OK:
        return operation.result.decode(document)
    if status == FAILED and isinstance(document, Mapping):
        raise from_document(document)
    raise Unavailable(SERVICE, f"it failed with status {status}; its log says why")
