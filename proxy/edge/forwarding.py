"""Requests that go on to Glance as they came, and answers that come back as Glance gave them."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass

import structlog
from aiohttp import ClientResponse, hdrs, web
from multidict import CIMultiDict

from cache import CacheError
from proxy.edge.call import EdgeCall
from proxy.edge.headers import to_client
from proxy.errors import BadRequest
from upstream.errors import Unavailable
from upstream.registry.glance import Operation

log = structlog.get_logger(__name__)

RELAYED = web.RequestKey("relayed", bool)
"""Set where the answer is Glance's own, to which nothing is added."""

_SMALL_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A small answer of Glance's, whole. `headers` are those for the client."""

    status: int
    reason: str | None
    headers: CIMultiDict[str]
    body: bytes

    def response(self, request: web.Request) -> web.Response:
        request[RELAYED] = True
        return web.Response(status=self.status, reason=self.reason, headers=self.headers, body=self.body or None)


async def forward(call: EdgeCall) -> web.StreamResponse:
    """The metadata calls, and uploads. Nothing is kept in memory but what is under way."""
    return await _forwarded(call, is_data=False)


async def forward_data(call: EdgeCall) -> web.StreamResponse:
    """Image data in either direction: on a connection that no metadata call waits for."""
    return await _forwarded(call, is_data=True)


async def delete_image(call: EdgeCall) -> web.StreamResponse:
    """What Glance has deleted nobody may have any more: its entry only takes up room."""
    response = await forward(call)
    if 200 <= response.status < 300:
        await _forget(call)
    return response


async def update_image(call: EdgeCall) -> web.StreamResponse:
    """An image whose last location was taken away is queued again, and may get other data under its old id."""
    response = await forward(call)
    if isinstance(response, web.Response) and response.status == 200 and isinstance(response.body, bytes):
        with suppress(ValueError, RecursionError, AttributeError):
            if json.loads(response.body).get("status") == "queued":
                await _forget(call)
    return response


async def kept(call: EdgeCall, answer: ClientResponse) -> Kept:
    """Read to its end. Raises Unavailable."""
    services = call.services
    body = await services.glance.document(answer)
    headers = to_client(answer.headers, call.entrance, services.glance.url)
    return Kept(status=answer.status, reason=answer.reason, headers=headers, body=body)


async def _forwarded(call: EdgeCall, *, is_data: bool) -> web.StreamResponse:
    body = _Body(call) if call.request.body_exists else None
    headers = call.headers()
    if body is not None:
        headers.update(body.headers)
    try:
        async with call.services.glance.ask(
            Operation.FORWARD,
            call.request.method,
            call.target,
            headers,
            None if body is None else body.chunks(),
            is_data=is_data,
        ) as answer:
            return await _relayed(call, answer)
    except Unavailable:
        if body is not None and body.error is not None:
            raise body.error from None  # it was the client that broke off
        raise


async def _relayed(call: EdgeCall, answer: ClientResponse) -> web.StreamResponse:
    request, services = call.request, call.services
    length = answer.headers.get(hdrs.CONTENT_LENGTH, "")
    is_head = request.method == hdrs.METH_HEAD
    if answer.status in {204, 304} or (length.isdecimal() and int(length) <= _SMALL_BYTES and not is_head):
        response: web.StreamResponse = (await kept(call, answer)).response(request)
    else:
        request[RELAYED] = True
        headers = to_client(answer.headers, call.entrance, services.glance.url)
        response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=headers)
    if request.body_exists and not request.content.at_eof():
        response.force_close()  # Glance wanted no more of it
    if isinstance(response, web.Response):
        return response
    await response.prepare(request)
    async with aclosing(services.glance.chunks(answer)) as chunks:
        async for chunk in chunks:  # none for HEAD
            async with asyncio.timeout(services.config.server.client_idle_s):
                await response.write(chunk)
    await response.write_eof()
    return response


async def _forget(call: EdgeCall) -> None:
    try:
        await call.services.prewarmer.drop(call.image_id)
        if await call.services.cache.entry(call.image_id) is not None:  # what a path names need be no name of an entry
            await call.services.cache.evict(call.image_id)
    except CacheError as error:
        log.warning("entry.not_evicted", key=call.image_id, error=type(error).__name__)


class _Body:
    """A client's body on its way. `error` is what ended it before its end, if that was the client."""

    def __init__(self, call: EdgeCall) -> None:
        self._call = call
        self.error: BadRequest | None = None

    @property
    def headers(self) -> dict[str, str]:
        """Those that frame it: with a length if the client gave one, else in chunks. It may ask whether to come."""
        request = self._call.request
        length = request.headers.get(hdrs.CONTENT_LENGTH)
        framing: dict[str, str] = {} if length is None else {hdrs.CONTENT_LENGTH: length}
        if request.headers.get(hdrs.EXPECT, "").lower() == "100-continue":
            framing[hdrs.EXPECT] = "100-continue"
        return framing

    async def chunks(self) -> AsyncGenerator[bytes]:
        """Begun when Glance wants it: only then a client that asked is told to go on. Raises BadRequest."""
        await self._call.accept_body()
        idle_s = self._call.services.config.server.client_idle_s
        try:
            while True:
                async with asyncio.timeout(idle_s):
                    chunk = await self._call.request.content.readany()
                if not chunk:
                    return
                yield chunk
        except (web.RequestPayloadError, ConnectionError) as error:
            self.error = BadRequest("The body broke off before its end.")
            raise self.error from error
        except TimeoutError as error:
            self.error = BadRequest(f"No more of the body came for {idle_s:g} s.")
            raise self.error from error
