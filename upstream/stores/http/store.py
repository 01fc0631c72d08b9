"""Images behind plain http and https. Read-only: somebody else put them there."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast

import aiohttp
import structlog
from yarl import URL

from upstream.errors import Invalid, Unavailable, WrongLength
from upstream.http import AddressGuard, GuardedResolver, proxy_refusal, translated
from upstream.stores.answers import Answer, Body, Wanted
from upstream.stores.base import Witness
from upstream.stores.http.config import HttpStoreConfig
from upstream.stores.http.proxies import Proxy
from upstream.stores.locations import HttpTarget, parse_http, redirected
from upstream.stores.validators import Seen
from upstream.tls import client_context
from upstream.types import Location

log = structlog.get_logger()

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_HEAD_UNKNOWN = frozenset({400, 403, 405, 406, 501})  # a signed URL is signed for GET alone
_READ_BUFFER_BYTES = 256 * 1024  # measured: larger chunks lose to cache misses, smaller ones to calls


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sessions:
    """The latter two connect to proxies of the configuration only, so they may resolve their names to any address.

    To a proxy that forwards, each request has a connection of its own: some (tinyproxy) read the first alone, and hand
    the others on to its host as they are, with the credentials of the proxy.
    """

    straight: aiohttp.ClientSession
    forwarded: aiohttp.ClientSession
    tunnelled: aiohttp.ClientSession

    async def close(self) -> None:
        for session in (self.straight, self.forwarded, self.tunnelled):
            await session.close()


class HttpStore:
    """Reads by GET. What an answer must prove stands in `answers.py`; redirects, time-outs and addresses here."""

    def __init__(self, store_id: str, config: HttpStoreConfig, sessions: "_Sessions", guard: AddressGuard) -> None:
        self._id, self._config, self._sessions, self._guard = store_id, config, sessions, guard
        self._proxies = config.proxies()

    @asynccontextmanager
    async def read(
        self, location: Location, offset: int = 0, stop: int | None = None, witness: Witness | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        target, wanted = parse_http(location.url), Wanted(offset, stop)
        witness = witness or Witness()
        first = witness.seen if isinstance(witness.seen, Seen) else None
        async with self._asked("GET", target, wanted.headers(first)) as response:
            answer = self._answer(response)
            if answer.status not in ({200, 206, 416} if wanted.is_part else {200}):
                raise answer.refusal(datetime.now(UTC))
            seen = answer.seen(wanted)
            if offset and first is not None:
                answer.check_same(seen, first)
            if seen.total_bytes is not None:
                witness.check_size(seen.total_bytes)
            if answer.status == 200 and wanted.is_part and witness.rest is not None:
                wanted, witness.rest.is_given = Wanted(offset, witness.rest.stop), True
            body = answer.body(wanted, seen.total_bytes, self._config.skip_max)
            if not offset or first is None:
                witness.seen = seen
            if body.skip_bytes:
                log.warning("store.range_ignored", store=self._id, skipped_bytes=body.skip_bytes)
            async with aclosing(chunks_of(self._id, response, body, idle_s=self._config.idle_s)) as chunks:
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
        await self._sessions.close()

    @asynccontextmanager
    async def _asked(
        self, method: str, target: HttpTarget, headers: Mapping[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer after redirects, of whatever status. A body that is not read to its end costs the connection."""
        for _ in range(self._config.redirects_max + 1):
            url = URL(target.url, encoded=target.url.isascii())
            proxy = self._proxies.on_the_way_to(target)
            self._guard.check_url(url)
            if proxy is not None:
                await self._guard.check_unresolved(url)
            with translated(self._id):
                # The connector limits connecting; this also ends the wait for a server that accepts and is silent.
                async with asyncio.timeout(self._config.connect_s + self._config.first_byte_s):
                    response = await self._request(method, url, {**_fixed_headers(target), **headers}, proxy)
            try:
                if proxy is not None and response.status == 407:
                    raise proxy_refusal(self._id, response.status)
                if response.status not in _REDIRECTS:
                    yield response
                    return
                target = redirected(target, response.headers.get("Location", ""))
            finally:
                response.release()
        raise Invalid(f"{self._id} was redirected more than {self._config.redirects_max} times")

    async def _request(
        self, method: str, url: URL, headers: dict[str, str], proxy: Proxy | None
    ) -> aiohttp.ClientResponse:
        """A proxy is shown its credentials where it reads them: in the request itself, or in CONNECT."""
        if proxy is None:
            return await self._sessions.straight.request(method, url, headers=headers, allow_redirects=False)
        shown = _proxy_headers(proxy)
        if url.scheme == "https":
            return await self._sessions.tunnelled.request(
                method, url, headers=headers, allow_redirects=False, proxy=proxy.url, proxy_headers=shown
            )
        return await self._sessions.forwarded.request(
            method, url, headers={**headers, **shown}, allow_redirects=False, proxy=proxy.url
        )

    def _answer(self, response: aiohttp.ClientResponse) -> Answer:
        return Answer(store_id=self._id, status=response.status, headers=response.headers)


async def chunks_of(
    service: str, response: aiohttp.ClientResponse, body: Body, *, idle_s: float
) -> AsyncGenerator[bytes]:
    """What aiohttp has received whenever we come, 256 KiB to 1 MiB under load: no copy into a fixed size."""
    got, end = 0, body.end
    broken: Unavailable | None = None
    while broken is None and (end is None or got < end):
        try:
            with translated(service, "idle"):
                async with asyncio.timeout(idle_s):
                    chunk = await response.content.readany()
        except Unavailable as error:
            chunk, broken = _received(response.content), error
        if not chunk:
            break
        before, got = got, got + len(chunk)
        if end is not None and got > end and not body.is_cut:
            break
        fresh = chunk[max(0, body.skip_bytes - before) : None if end is None else end - before]
        if fresh:
            yield fresh
    if broken is not None and (end is None or (got < end and not _is_cut_off(broken))):
        raise broken
    if got < body.skip_bytes or (end is not None and (got < end or (got > end and not body.is_cut))):
        raise WrongLength(body.skip_bytes if end is None else end, got) from broken


def _received(content: aiohttp.StreamReader) -> bytes:
    """What arrived before the connection broke and was not read yet.

    aiohttp raises the error before it hands that out, up to 768 KiB; a store that breaks off often would give nothing
    at all. There is no call to read on, so the error is taken back first.
    """
    if content.exception() is None:  # out of time: nothing was there
        return b""
    content.set_exception(cast("BaseException", None))
    return content.read_nowait()


def _is_cut_off(error: Unavailable) -> bool:
    return isinstance(error.__cause__, aiohttp.ClientPayloadError)


def _fixed_headers(target: HttpTarget) -> dict[str, str]:
    headers = {"Accept-Encoding": "identity", "Accept": "*/*"}
    if target.user is not None:
        headers["Authorization"] = aiohttp.encode_basic_auth(target.user, target.password or "", encoding="utf-8")
    return headers


def _proxy_headers(proxy: Proxy) -> dict[str, str]:
    if proxy.user is None:
        return {}
    return {"Proxy-Authorization": aiohttp.encode_basic_auth(proxy.user, proxy.password or "", encoding="utf-8")}


async def open_store(store_id: str, config: HttpStoreConfig, guard: AddressGuard | None = None) -> HttpStore:
    """With a `guard` of its own the store obeys that, instead of the hosts and networks of its configuration."""
    guard = guard or AddressGuard(store_id, allowed_hosts=config.allowed_hosts, denied=config.denied_networks)
    tls = await asyncio.to_thread(client_context, config.ca_file, verify=config.verify_tls)
    sessions = _Sessions(
        straight=_session(config, tls=tls, resolver=GuardedResolver(guard)),
        forwarded=_session(config, tls=tls, resolver=aiohttp.ThreadedResolver(), is_reused=False),
        tunnelled=_session(config, tls=tls, resolver=aiohttp.ThreadedResolver()),
    )
    return HttpStore(store_id, config, sessions, guard)


def _session(
    config: HttpStoreConfig,
    *,
    tls: ssl.SSLContext | bool,
    resolver: aiohttp.abc.AbstractResolver,
    is_reused: bool = True,
) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        # `Guarded` limits requests, and says why it does.
        connector=aiohttp.TCPConnector(limit=0, resolver=resolver, ssl=tls, force_close=not is_reused),
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "glint"},
        read_bufsize=_READ_BUFFER_BYTES,
        timeout=aiohttp.ClientTimeout(total=None, connect=config.connect_s),
    )
