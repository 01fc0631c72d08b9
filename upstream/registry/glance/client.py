"""Requests to the Glance behind us, and how long they may take."""

import asyncio
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from enum import StrEnum

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from metrics import Instruments
from upstream.errors import Unavailable
from upstream.http import translated
from upstream.registry.config import RegistryConfig
from upstream.registry.glance.continuing import Pace, PatientRequest

SERVICE = "Glance"
_READ_BUFFER_BYTES = 256 * 1024
_DOCUMENT_MAX_BYTES = 8 * 1024 * 1024
_AUTOMATIC = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


class Operation(StrEnum):
    """Why Glance is asked, as metrics name it."""

    FORWARD = "forward"
    AUTHORIZE = "authorize"
    DESCRIBE = "describe"
    READ = "read"


class Glance:
    """Safe to use from many tasks at once. No redirect is followed: it is the client's to follow.

    Reads share kept connections. A change has a connection of its own: one that Glance closed while it lay idle cannot
    be told from one that broke after the change was made, and a change is never sent twice. So have image data.
    """

    def __init__(
        self,
        config: RegistryConfig,
        instruments: Instruments,
        reads: aiohttp.ClientSession,
        changes: aiohttp.ClientSession,
        data: aiohttp.ClientSession,
    ) -> None:
        assert config.glance.url is not None
        self.url = config.glance.url
        self._config, self._connect_s, self._instruments = config.glance, config.connect_s, instruments
        self._reads, self._changes, self._data = reads, changes, data

    @asynccontextmanager
    async def ask(
        self,
        operation: Operation,
        method: str,
        target: str,
        headers: Mapping[str, str] | CIMultiDict[str],
        body: AsyncGenerator[bytes] | None = None,
        *,
        is_data: bool = False,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer, whatever its status. `target` is path and query as they are to be sent.

        A `body` is read only as fast as Glance takes it; what it raises ends the request. Leaving before the end of the
        answer costs the connection. Raises Unavailable if Glance says nothing, or not in time.
        """
        began_s = time.monotonic()
        url = URL(f"{self.url}{target}", encoded=True)
        async with AsyncExitStack() as stack:
            try:
                with translated(SERVICE):
                    response = await self._head(method, url, headers, body, is_data=is_data)
            except Exception as error:
                self._count(operation, error)
                raise
            stack.callback(response.close)
            self._instruments.glance_seconds.labels(operation).observe(time.monotonic() - began_s)
            yield response

    async def document(self, response: aiohttp.ClientResponse) -> bytes:
        """A whole answer that should be small. Raises Unavailable, also if it is not."""
        body = bytearray()
        async with aclosing(self.chunks(response)) as chunks:
            async for chunk in chunks:
                body += chunk
                if len(body) > _DOCUMENT_MAX_BYTES:
                    raise Unavailable(SERVICE, f"it answered with more than {_DOCUMENT_MAX_BYTES} bytes")
        return bytes(body)

    async def chunks(self, response: aiohttp.ClientResponse) -> AsyncGenerator[bytes]:
        """The answer's body as it comes. Raises Unavailable if it breaks off or falls silent."""
        while True:
            with translated(SERVICE):
                async with asyncio.timeout(self._config.idle_s):
                    chunk = await response.content.readany()
            if not chunk:
                return
            yield chunk

    async def _head(
        self,
        method: str,
        url: URL,
        headers: Mapping[str, str] | CIMultiDict[str],
        body: AsyncGenerator[bytes] | None,
        *,
        is_data: bool,
    ) -> aiohttp.ClientResponse:
        if method not in {"GET", "HEAD", "OPTIONS"} or body is not None or is_data:
            session = self._data if is_data else self._changes
            return await self._send(session, method, url, headers, body)
        try:
            return await self._send(self._reads, method, url, headers)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
            if isinstance(error, aiohttp.ClientConnectorError):
                raise
            # A kept connection that Glance had closed; perhaps all of them are, if it was started anew.
            return await self._send(self._changes, method, url, headers)

    async def _send(
        self,
        session: aiohttp.ClientSession,
        method: str,
        url: URL,
        headers: Mapping[str, str] | CIMultiDict[str],
        body: AsyncGenerator[bytes] | None = None,
    ) -> aiohttp.ClientResponse:
        async with asyncio.timeout(self._connect_s + self._config.answer_s) as limit:
            if body is None:
                return await session.request(method, url, headers=headers, allow_redirects=False)
            pace = Pace(limit, chunk_s=self._config.answer_s, answer_s=self._config.upload_answer_s)
            response = await session.request(method, url, headers=headers, data=pace.of(body), allow_redirects=False)
            pace.answered()
            return response

    def _count(self, operation: Operation, error: Exception) -> None:
        self._instruments.glance_errors.labels(operation, type(error).__name__).inc()


@asynccontextmanager
async def open_glance(config: RegistryConfig, instruments: Instruments) -> AsyncIterator[Glance]:
    """Open until the context is left. Glance need not be there yet. Raises OSError for a `ca_file` that is none."""
    tls = await asyncio.to_thread(ssl.create_default_context, cafile=config.glance.ca_file)
    async with AsyncExitStack() as stack:
        reads, changes, data = [
            await stack.enter_async_context(_session(config, tls, is_kept=is_kept)) for is_kept in (True, False, False)
        ]
        yield Glance(config, instruments, reads, changes, data)


def _session(config: RegistryConfig, tls: ssl.SSLContext, *, is_kept: bool) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(limit=config.glance.requests_max, force_close=not is_kept, ssl=tls)
    return aiohttp.ClientSession(
        connector=connector,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        read_bufsize=_READ_BUFFER_BYTES,
        request_class=PatientRequest,
        skip_auto_headers=_AUTOMATIC,
        timeout=aiohttp.ClientTimeout(total=None, connect=config.connect_s),
    )
