"""The connections to a registry service: signed requests, proved answers, and what is sent a second time."""

import asyncio
import hmac
import secrets
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Any, Protocol, Self

import aiohttp
from yarl import URL

from upstream.errors import Denied, Invalid, Unavailable, UpstreamError
from upstream.http import translated
from upstream.registry.config import RegistryConfig
from upstream.registry.wire import SIGNATURE, Line, loads

SERVICE = "registry service"

_KEPT_S = 30.0  # well below the time for which the service keeps an idle connection
_PROCESSES_MAX = 4
_REFUSED = 401


class Exchange(Protocol):
    async def __call__(
        self, path: str, body: bytes, identity: Mapping[str, str], *, is_read: bool
    ) -> tuple[int, bytes]: ...


class Connection:
    """One, used by one request at a time, so that its numbers arrive in order."""

    def __init__(self, url: URL, session: aiohttp.ClientSession, key: bytes) -> None:
        self._url, self._session, self._key = url, session, key
        self._line = Line(secrets.token_hex(16))

    async def exchange(self, path: str, body: bytes, identity: Mapping[str, str]) -> tuple[int, bytes]:
        """The status and the body of an answer that is proved to be the service's.

        A new connection may lead to any process of the service. It says which one it is, and gets the request anew:
        it has done nothing with the first one. Raises aiohttp's errors, Denied, Unavailable.
        """
        for _ in range(_PROCESSES_MAX):
            headers, sealed = self._line.sign(self._key, path, body, identity, time.time())
            url = self._url.with_path(path)
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as response:
                status, answer = response.status, await response.read()
                proof = response.headers.get(SIGNATURE, "")
            if not hmac.compare_digest(sealed.seal(status, answer).encode(), proof.encode(errors="replace")):
                raise _unproved(status)
            if status != _REFUSED:
                return status, answer
            told = loads(answer)
            if told["refused"] != "audience":
                raise _refusal(told)
            self._line.audience = told["audience"]
        reason = "each request comes to another of its processes; nothing that balances requests may stand before it"
        raise Unavailable(SERVICE, reason)

    async def close(self) -> None:
        await self._session.close()


def _unproved(status: int) -> UpstreamError:
    if status == _REFUSED:
        return Denied(f"The {SERVICE} refuses this Glint: registry.remote.key is no key that it has")
    return Unavailable(SERVICE, f"what answers there with status {status} has not the key registry.remote.key")


def _refusal(told: Mapping[str, Any]) -> UpstreamError:
    if told["refused"] == "body":
        return Invalid(f"The {SERVICE} takes {told['bytes_max']} bytes at once, and no more")
    if told["refused"] != "clock":
        return Unavailable(SERVICE, "the request came to it twice")
    late_s, window_s = told["late_s"], told["window_s"]
    return Denied(
        f"The {SERVICE} refuses this Glint: its clock is {abs(late_s):g} s {'ahead of' if late_s > 0 else 'behind'} "
        f"ours, and {window_s:g} s are allowed. Set the clocks of both hosts, by NTP."
    )


class Lines:
    """Up to `registry.pool_max` connections, those used last first. Safe to use from many tasks at once."""

    def __init__(self, config: RegistryConfig, url: URL, tls: ssl.SSLContext | None) -> None:
        self._config, self._url, self._tls = config, url, tls
        self._free = asyncio.Semaphore(config.pool_max)
        self._idle: list[Connection] = []
        self._stack = AsyncExitStack()

    async def __call__(
        self, path: str, body: bytes, identity: Mapping[str, str], *, is_read: bool
    ) -> tuple[int, bytes]:
        """Raises Unavailable, Denied."""
        with translated(SERVICE):
            async with self._one() as connection:
                try:
                    return await connection.exchange(path, body, identity)
                except aiohttp.ClientError as error:
                    if not may_repeat(error, is_read=is_read):
                        raise
                return await connection.exchange(path, body, identity)

    @asynccontextmanager
    async def _one(self) -> AsyncIterator[Connection]:
        try:
            async with asyncio.timeout(self._config.connect_s):
                await self._free.acquire()
        except TimeoutError as error:
            raise Unavailable(SERVICE, "all connections are in use") from error
        connection = self._idle.pop() if self._idle else self._new()
        try:
            yield connection
        finally:
            self._idle.append(connection)
            self._free.release()

    def _new(self) -> Connection:
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=1, keepalive_timeout=_KEPT_S, ssl=self._tls or True),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=self._config.connect_s, sock_read=self._config.statement_s
            ),
            headers={"Content-Type": "application/json"},
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent"),
        )
        connection = Connection(self._url, session, self._config.remote.keys[0])
        self._stack.push_async_callback(connection.close)
        return connection

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()


def may_repeat(error: aiohttp.ClientError, *, is_read: bool) -> bool:
    """Whether a request may be sent once more after this.

    Whatever it does, if no connection could be made for it: it is nowhere. Else only a read, whose kept connection may
    have ended just then. Nobody waits a second time for what was too slow, or offers a certificate again.
    """
    if isinstance(error, aiohttp.ClientSSLError | aiohttp.ServerTimeoutError):
        return False
    if isinstance(error, aiohttp.ClientConnectorError):
        return True
    return is_read and isinstance(
        error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError | aiohttp.ClientPayloadError
    )
