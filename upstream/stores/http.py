"""Images behind plain http and https. Read-only: somebody else put them there."""

import asyncio
import ssl
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime

import aiohttp
import structlog
from yarl import URL

from upstream.errors import Invalid, Unavailable, WrongLength
from upstream.http import AddressGuard, GuardedResolver, translated
from upstream.stores.answers import Answer, Body, Seen
from upstream.stores.config import HttpStoreConfig
from upstream.stores.locations import HttpTarget, parse_http, redirected
from upstream.types import Location

log = structlog.get_logger()

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_HEAD_UNKNOWN = frozenset({400, 403, 405, 406, 501})  # a signed URL is signed for GET alone
_READ_BUFFER_BYTES = 256 * 1024  # measured: larger chunks lose to cache misses, smaller ones to calls
_SEEN_MAX = 4096


class HttpStore:
    """Reads by GET. What an answer must prove stands in `answers.py`; redirects, time-outs and addresses here."""

    def __init__(
        self, store_id: str, config: HttpStoreConfig, session: aiohttp.ClientSession, guard: AddressGuard
    ) -> None:
        self._id, self._config, self._session, self._guard = store_id, config, session, guard
        self._seen: OrderedDict[str, Seen] = OrderedDict()

    @asynccontextmanager
    async def read(self, location: Location, offset: int = 0) -> AsyncIterator[AsyncIterator[bytes]]:
        target = parse_http(location.url)
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        async with self._asked("GET", target, headers) as response:
            answer = self._answer(response)
            if answer.status not in ({200, 206, 416} if offset else {200}):
                raise answer.refusal(datetime.now(UTC))
            body, seen = answer.body(offset, self._config.skip_max)
            self._compare(target, seen, offset)
            if body.skip_bytes:
                log.warning("store.range_ignored", store=self._id, skipped_bytes=body.skip_bytes)
            async with aclosing(self._chunks(response, body)) as chunks:
                yield chunks

    async def size(self, location: Location) -> int:
        """By HEAD; where that is refused or does not tell, by GET of the first byte."""
        target = parse_http(location.url)
        async with self._asked("HEAD", target, {}) as response:
            answer = self._answer(response)
            length_bytes = answer.length_bytes() if "Content-Encoding" not in answer.headers else None
            if answer.status == 200 and length_bytes:  # servers that do not know it say 0, or nothing
                return length_bytes
            if answer.status != 200 and answer.status not in _HEAD_UNKNOWN:
                raise answer.refusal(datetime.now(UTC))
        async with self._asked("GET", target, {"Range": "bytes=0-0"}) as response:
            return self._size_of(self._answer(response))

    def _size_of(self, answer: Answer) -> int:
        if answer.status in {206, 416}:
            return answer.content_range()[2]
        if answer.status != 200:
            raise answer.refusal(datetime.now(UTC))
        answer.check_plain()
        length_bytes = answer.length_bytes()
        if length_bytes is None:
            raise Invalid(f"{self._id} does not say how large the object is")
        return length_bytes

    async def close(self) -> None:
        await self._session.close()

    @asynccontextmanager
    async def _asked(
        self, method: str, target: HttpTarget, headers: Mapping[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer after redirects, of whatever status. A body that is not read to its end costs the connection."""
        for _ in range(self._config.redirects_max + 1):
            url = URL(target.url, encoded=target.url.isascii())
            self._guard.check_host(url.raw_host or "")  # as the connector will see it, not as the user wrote it
            with translated(self._id):
                # The connector limits connecting; this also ends the wait for a server that accepts and is silent.
                async with asyncio.timeout(self._config.connect_s + self._config.first_byte_s):
                    response = await self._session.request(
                        method, url, headers={**_fixed_headers(target), **headers}, allow_redirects=False
                    )
            try:
                if response.status not in _REDIRECTS:
                    yield response
                    return
                target = redirected(target, response.headers.get("Location", ""))
            finally:
                response.release()
        raise Invalid(f"{self._id} was redirected more than {self._config.redirects_max} times")

    def _answer(self, response: aiohttp.ClientResponse) -> Answer:
        return Answer(store_id=self._id, status=response.status, headers=response.headers)

    def _compare(self, target: HttpTarget, now: Seen, offset: int) -> None:
        """Keep what the object is now. Raises Unavailable if a later part is one of another object than the first."""
        before = self._seen.get(target.url)
        if offset and before is not None:
            if now.contradicts(before):
                raise Unavailable(self._id, "the object changed since its first part was read")
            return
        self._seen[target.url] = now
        self._seen.move_to_end(target.url)
        if len(self._seen) > _SEEN_MAX:
            self._seen.popitem(last=False)

    async def _chunks(self, response: aiohttp.ClientResponse, body: Body) -> AsyncGenerator[bytes]:
        """What aiohttp has received whenever we come, 256 KiB to 1 MiB under load: no copy into a fixed size.

        What it still holds when the connection breaks is lost; a resumed read fetches that part again.
        """
        got, end = 0, body.end
        while end is None or got < end:
            try:
                with translated(self._id):
                    async with asyncio.timeout(self._config.idle_s):
                        chunk = await response.content.readany()
            except Unavailable as error:
                if isinstance(error.__cause__, aiohttp.ClientPayloadError) and end is not None:
                    raise WrongLength(end, got) from error
                raise
            if not chunk:
                break
            got += len(chunk)
            if end is not None and got > end:
                break
            fresh_bytes = got - body.skip_bytes
            if fresh_bytes > 0:
                yield chunk[-fresh_bytes:] if fresh_bytes < len(chunk) else chunk
        if got < body.skip_bytes or end not in {None, got}:
            raise WrongLength(body.skip_bytes if end is None else end, got)


def _fixed_headers(target: HttpTarget) -> dict[str, str]:
    headers = {"Accept-Encoding": "identity", "Accept": "*/*"}
    if target.user is not None:
        headers["Authorization"] = aiohttp.encode_basic_auth(target.user, target.password or "", encoding="utf-8")
    return headers


def _tls(config: HttpStoreConfig) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=config.ca_file)
    if not config.verify_tls:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


async def open_store(store_id: str, config: HttpStoreConfig) -> HttpStore:
    guard = AddressGuard(store_id, allowed_hosts=config.allowed_hosts, denied=config.denied_networks)
    connector = aiohttp.TCPConnector(
        limit=0,  # `Guarded` limits requests, and says why it does
        resolver=GuardedResolver(guard),
        ssl=await asyncio.to_thread(_tls, config),
    )
    session = aiohttp.ClientSession(
        connector=connector,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "glint"},
        read_bufsize=_READ_BUFFER_BYTES,
        timeout=aiohttp.ClientTimeout(total=None, connect=config.connect_s),
    )
    return HttpStore(store_id, config, session, guard)
