"""Bulk data, signed by botocore and moved by aiohttp: what is read goes through the same code as that of http stores.

aiobotocore's own reading is as quick, but each of its calls costs 2 ms of CPU, five times as much, and an image is read
in many parts; and it takes no body that comes bit by bit.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import aiohttp
from botocore.auth import UNSIGNED_PAYLOAD, S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from yarl import URL

from upstream.errors import UpstreamError
from upstream.http import translated
from upstream.stores.s3.config import S3StoreConfig
from upstream.stores.s3.refusals import code_of, refusal

_ERROR_MAX_BYTES = 64 * 1024


class _Unread(S3SigV4Auth):  # type: ignore[misc] # botocore has no types
    """Signs the head of a request, not its body: that is proved by its MD5, or passes while it is sent."""

    def payload(self, request: AWSRequest) -> str:
        return str(UNSIGNED_PAYLOAD)


@dataclass(slots=True, kw_only=True)
class Body:
    """What a PUT sends. `is_sent` once the last byte is on its way: from then on the store may have it."""

    pieces: AsyncGenerator[bytes]
    size_bytes: int
    is_sent: bool = False
    error: Exception | None = field(default=None, repr=False)
    """Of the pieces themselves."""


class Transport:
    def __init__(self, store_id: str, config: S3StoreConfig, session: aiohttp.ClientSession) -> None:
        self._id, self._config, self._session = store_id, config, session
        keys = Credentials(config.access_key.get_secret_value(), config.secret_key.get_secret_value())
        self._signer = _Unread(keys, "s3", config.signing_region)

    @asynccontextmanager
    async def get(self, url: str, headers: Mapping[str, str]) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer, whatever its status. A body that is not read to its end costs the connection."""
        with translated(self._id):
            async with asyncio.timeout(self._config.connect_s + self._config.first_byte_s):
                response = await self._asked("GET", url, headers)
        try:
            yield response
        finally:
            response.release()

    async def put(self, url: str, headers: Mapping[str, str], body: Body) -> Mapping[str, str]:
        """The head of a good answer. Raises what `refused` says, Unavailable, and what the pieces raise."""
        headers = {**headers, "Content-Length": str(body.size_bytes)}
        try:
            with translated(self._id):
                async with asyncio.timeout(self._config.connect_s + self._config.first_byte_s) as deadline:
                    paced = self._paced(body, deadline)
                    response = await self._asked("PUT", url, headers, paced)
                    try:
                        if response.status == 200:
                            await response.read()
                            return response.headers
                        raise await self._refused_within(response)
                    finally:
                        response.release()
        except UpstreamError:
            if body.error is not None:
                raise body.error from None
            raise

    async def refused(self, response: aiohttp.ClientResponse) -> UpstreamError:
        """The error that an answer means."""
        with translated(self._id):
            async with asyncio.timeout(self._config.idle_s):
                return await self._refused_within(response)

    async def close(self) -> None:
        await self._session.close()

    async def _refused_within(self, response: aiohttp.ClientResponse) -> UpstreamError:
        code = code_of(await response.content.read(_ERROR_MAX_BYTES))
        return refusal(self._id, response.status, code, response.headers, datetime.now(UTC))

    async def _asked(
        self, method: str, url: str, headers: Mapping[str, str], data: AsyncIterator[bytes] | None = None
    ) -> aiohttp.ClientResponse:
        request = AWSRequest(method, url, headers={"Accept-Encoding": "identity", **headers})
        self._signer.add_auth(request)
        return await self._session.request(
            method, URL(url, encoded=True), data=data, headers=dict(request.headers.items()), allow_redirects=False
        )

    async def _paced(self, body: Body, deadline: asyncio.Timeout) -> AsyncGenerator[bytes]:
        """The pieces. The store has its time to take each, and to answer after the last; who gives them has his own."""
        now = asyncio.get_running_loop().time
        try:
            async with aclosing(body.pieces) as pieces:
                deadline.reschedule(None)
                async for piece in pieces:
                    deadline.reschedule(now() + self._config.idle_s)
                    yield piece
                    deadline.reschedule(None)
        except Exception as error:
            body.error = error
            raise
        body.is_sent = True
        deadline.reschedule(now() + self._config.first_byte_s)
