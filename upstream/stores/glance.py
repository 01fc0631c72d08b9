"""Image data as an existing Glance hands them out: `GET /v2/images/{id}/file`, with a caller's own token.

What Glance does with Range depends on its age and on the store behind it: 206; 400 where its store reads no parts; and
before Queens 200 with the whole image. Parts carry no validator, so the digest of the whole has the last word.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from datetime import UTC, datetime

import aiohttp
import structlog

from upstream.errors import DataNotFound, Denied
from upstream.stores.answers import Answer, Body, Wanted
from upstream.stores.base import Witness
from upstream.stores.http import chunks_of
from upstream.stores.sources import Place
from upstream.stores.validators import Seen

log = structlog.get_logger()

_STORE = "Glance"
_REFUSALS = frozenset({401, 403, 404})

Ask = Callable[[Mapping[str, str]], AbstractAsyncContextManager[aiohttp.ClientResponse]]
"""Asks for the data with these headers: whose token, and which part."""


class GlanceFile:
    """One image's data, for one reader. `bearers` says with whose headers to ask, in this order, whenever it is asked.

    One that is refused is passed over while there is another: tokens expire in the middle of long fills.
    """

    def __init__(
        self, ask: Ask, bearers: Callable[[], Sequence[Mapping[str, str]]], *, idle_s: float, skip_max: int
    ) -> None:
        self._ask, self._bearers, self._idle_s, self._skip_max = ask, bearers, idle_s, skip_max

    @asynccontextmanager
    async def open(
        self, place: Place, offset: int, stop: int | None, *, insist: bool
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """As `Store.read`."""
        wanted, witness = Wanted(offset, stop), place.witness
        first = witness.seen if isinstance(witness.seen, Seen) else None
        async with AsyncExitStack() as stack:
            response = await self._asked(stack, wanted)
            answer = Answer(store_id=_STORE, status=response.status, headers=response.headers)
            if answer.status == 204:
                raise DataNotFound(_STORE)
            if answer.status not in ({200, 206} if wanted.is_part else {200}):
                raise answer.refusal(datetime.now(UTC))
            yield await stack.enter_async_context(
                aclosing(chunks_of(_STORE, response, self._body(answer, wanted, witness, first), idle_s=self._idle_s))
            )

    def _body(self, answer: Answer, wanted: Wanted, witness: Witness, first: Seen | None) -> Body:
        seen = answer.seen(wanted)
        if wanted.offset and first is not None:
            answer.check_same(seen, first)
        if seen.total_bytes is not None:
            witness.check_size(seen.total_bytes)
        body = answer.body(wanted, seen.total_bytes, self._skip_max)
        if not wanted.offset or first is None:
            witness.seen = seen
        if body.skip_bytes:
            log.warning("store.range_ignored", store=_STORE, skipped_bytes=body.skip_bytes)
        return body

    async def _asked(self, stack: AsyncExitStack, wanted: Wanted) -> aiohttp.ClientResponse:
        """The answer to the first bearer whom Glance lets have the data, else that to the last one.

        Also those are asked for who came meanwhile: what Glance says to one token is no answer to another.
        """
        tried: list[Mapping[str, str]] = []
        bearer, part = self._untried(tried), wanted.headers(None)
        if bearer is None:
            raise Denied("nobody who waits for the image has a token to ask Glance with")
        while True:
            attempt = await stack.enter_async_context(AsyncExitStack())
            response = await attempt.enter_async_context(self._ask({**bearer, **part}))
            if response.status == 400 and part:
                part = {}  # its store reads no parts: from the front, then
            elif response.status in _REFUSALS and (other := self._untried([*tried, bearer])) is not None:
                tried.append(bearer)
                bearer = other
                log.info("glance.bearer_refused", status=response.status)
            else:
                return response
            await attempt.aclose()

    def _untried(self, tried: Sequence[Mapping[str, str]]) -> Mapping[str, str] | None:
        return next((bearer for bearer in self._bearers() if bearer not in tried), None)
