"""Requests to Swift's object API: with a token that is renewed once, and with a limit for each phase."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol
from urllib.parse import quote, urlencode

import aiohttp
from yarl import URL

from upstream.errors import Conflict, DataNotFound, Denied, Duplicate, StoreFull, Unavailable, UpstreamError
from upstream.http import translated
from upstream.stores.answers import Answer
from upstream.stores.swift.accounts import Account
from upstream.stores.swift.config import SwiftStoreConfig
from upstream.tls import client_context

_READ_BUFFER_BYTES = 256 * 1024
_PAGE_NAMES = 1000  # of a listing
_PAGE_MAX_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A container of an account, and in it an object. `storage_url` where it is not the account's own."""

    account: Account
    container: str
    name: str
    storage_url: str | None = None

    def sibling(self, name: str) -> "Place":
        return Place(account=self.account, container=self.container, name=name, storage_url=self.storage_url)

    @property
    def path(self) -> str:
        """Quoted; that of the container where there is no name."""
        return quote(f"{self.container}/{self.name}" if self.name else self.container)


class Body(Protocol):
    """What is sent. `has_begun`: some of it was taken, so that it cannot be sent again."""

    has_begun: bool

    def __aiter__(self) -> AsyncIterator[bytes]: ...


class Client:
    """One store's connections. Safe to use from many tasks at once."""

    def __init__(self, store_id: str, config: SwiftStoreConfig, session: aiohttp.ClientSession) -> None:
        self._id, self._config, self._session = store_id, config, session

    @asynccontextmanager
    async def asked(
        self,
        method: str,
        place: Place,
        *,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        body: Body | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer, of whatever status. One that is not read to its end costs the connection.

        Raises Denied, Unavailable.
        """
        refused = None
        for is_last in (False, True):
            grant = await place.account.grant(refused)
            url = f"{place.storage_url or grant.storage_url}/{place.path}" + (f"?{urlencode(query)}" if query else "")
            sent = {"X-Auth-Token": grant.token, **(headers or {})}
            response = await self._answered(method, URL(url, encoded=True), sent, body)
            try:
                if response.status == 401 and not is_last and not (body is not None and body.has_begun):
                    refused = grant
                    continue
                yield response
                return
            finally:
                response.release()

    async def _answered(
        self, method: str, url: URL, headers: Mapping[str, str], body: Body | None
    ) -> aiohttp.ClientResponse:
        """With a body the server is asked first: what it refuses at once costs none of the data."""
        first_s = self._config.connect_s + self._config.first_byte_s
        with translated(self._id):
            async with asyncio.timeout(first_s) as limit:
                data = None if body is None else _Sent(body, limit, self._config)
                return await self._session.request(
                    method, url, headers=headers, data=data, expect100=body is not None, allow_redirects=False
                )

    async def head(self, place: Place) -> Mapping[str, str] | None:
        """The headers of an object or container; None if there is none."""
        async with self.asked("HEAD", place) as response:
            if response.status == 404:
                return None
            self.check(response, 200, 204)
            return response.headers

    async def put(self, place: Place, headers: Mapping[str, str], body: Body | None = None) -> str:
        """The ETag without quotes.

        Raises Duplicate if there is one and the `headers` forbid it, StoreFull, DataNotFound if there is no container.
        """
        async with self.asked("PUT", place, headers=headers, body=body) as response:
            self.check(response, 200, 201, 202, 204)
            return response.headers.get("ETag", "").strip('"').lower()

    async def delete(self, place: Place, query: Mapping[str, str] | None = None) -> bytes | None:
        """The body of the answer, None if there was nothing to delete. Raises Conflict."""
        async with self.asked("DELETE", place, query=query) as response:
            if response.status == 404:
                return None
            self.check(response, 200, 202, 204)
            return await self._read(response)

    async def names(self, place: Place, prefix: str) -> list[str]:
        """Of all objects of the container that begin so. None if there is no container."""
        found: list[str] = []
        while True:
            query = {"prefix": prefix, "format": "json", "limit": str(_PAGE_NAMES)}
            async with self.asked(
                "GET", place.sibling(""), query={**query, "marker": found[-1] if found else ""}
            ) as response:
                if response.status == 404:
                    return []
                self.check(response, 200, 204)
                rows = self._rows(await self._read(response))
            found += rows
            if len(rows) < _PAGE_NAMES:
                return found

    def _rows(self, page: bytes) -> list[str]:
        try:
            return [str(row["name"]) for row in json.loads(page or b"[]")]
        except (ValueError, TypeError, KeyError) as error:
            raise Unavailable(self._id, "its listing cannot be read") from error

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        content = b""
        with translated(self._id):
            async with asyncio.timeout(self._config.idle_s):
                async for piece in response.content.iter_chunked(65536):
                    content += piece
                    if len(content) > _PAGE_MAX_BYTES:
                        raise Unavailable(self._id, f"it answered with more than {_PAGE_MAX_BYTES} bytes")
        return content

    def check(self, response: aiohttp.ClientResponse, *good: int) -> None:
        """Raises what another status than the `good` ones means."""
        if response.status not in good:
            raise self.refusal(response)

    def refusal(self, response: aiohttp.ClientResponse) -> UpstreamError:
        status = response.status
        known: dict[int, UpstreamError] = {
            404: DataNotFound(self._id),
            409: Conflict(f"{self._id} refused: something else happens to the object just now"),
            412: Duplicate(f"{self._id} already has data of that image"),
            498: Unavailable(self._id, "it answered 498"),  # Source: Swift's ratelimit middleware
            **{full: StoreFull(f"{self._id} has no room for the object ({full})") for full in (413, 507)},
            **{denied: Denied(f"{self._id} refused its own user ({denied})") for denied in (401, 403)},
        }
        answer = Answer(store_id=self._id, status=status, headers=response.headers)
        return known.get(status) or answer.refusal(datetime.now(UTC))


class _Sent:
    """A body under way. The server has `idle_s` to take each piece; how long the source takes is not its fault."""

    def __init__(self, body: Body, limit: asyncio.Timeout, config: SwiftStoreConfig) -> None:
        self._pieces, self._limit, self._config = aiter(body), limit, config

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        self._allow(None)
        try:
            piece = await anext(self._pieces)
        except StopAsyncIteration:
            self._allow(self._config.first_byte_s)
            raise
        self._allow(self._config.idle_s)
        return piece

    def _allow(self, seconds: float | None) -> None:
        """Too late where the limit has passed: the request is being given up."""
        with suppress(RuntimeError):
            self._limit.reschedule(None if seconds is None else asyncio.get_running_loop().time() + seconds)


async def open_session(config: SwiftStoreConfig) -> aiohttp.ClientSession:
    tls = await asyncio.to_thread(client_context, config.ca_file, verify=config.verify_tls)
    connector = aiohttp.TCPConnector(limit=0, ssl=tls)
    return aiohttp.ClientSession(
        connector=connector,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "glint", "Accept-Encoding": "identity", "Accept": "*/*"},
        skip_auto_headers=("Content-Type",),
        read_bufsize=_READ_BUFFER_BYTES,
        timeout=aiohttp.ClientTimeout(total=None, connect=config.connect_s),
    )


def details(content: bytes | None) -> Mapping[str, Any]:
    """What a bulk deletion says of itself; nothing where it says nothing."""
    try:
        found = json.loads(content or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
