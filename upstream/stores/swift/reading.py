"""One read of an object, large or not, from any byte on."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass

import structlog

from upstream.errors import Duplicate, Unavailable, Unproved, WrongLength
from upstream.stores.answers import Answer, Wanted
from upstream.stores.base import Witness
from upstream.stores.http import chunks_of
from upstream.stores.swift.client import Client, Place
from upstream.stores.validators import Seen

log = structlog.get_logger()

_LARGE = ("X-Object-Manifest", "X-Static-Large-Object")


@dataclass(frozen=True, slots=True)
class _Part:
    chunks: AsyncGenerator[bytes]
    is_large: bool
    is_renewed: bool


class Reader:
    """Reads by GET. What an answer must prove stands in `answers.py`."""

    def __init__(self, store_id: str, client: Client, *, idle_s: float) -> None:
        self._id, self._client, self._idle_s = store_id, client, idle_s

    @asynccontextmanager
    async def read(
        self, place: Place, offset: int, stop: int | None, witness: Witness
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        async with AsyncExitStack() as stack:
            part = await stack.enter_async_context(self._part(place, Wanted(offset, stop), witness))
            yield await stack.enter_async_context(aclosing(self._chunks(place, Wanted(offset, stop), witness, part)))

    async def _chunks(self, place: Place, wanted: Wanted, witness: Witness, part: _Part) -> AsyncGenerator[bytes]:
        """Swift looks at the token again for each segment: where that broke the body off, another one reads on."""
        at = wanted.offset
        async with AsyncExitStack() as stack:
            while True:
                try:
                    async for chunk in part.chunks:
                        at += len(chunk)
                        yield chunk
                except (Unavailable, WrongLength):
                    if not part.is_large or at == wanted.offset:
                        raise
                    await part.chunks.aclose()
                    part = await stack.enter_async_context(self._part(place, Wanted(at, wanted.stop), witness))
                    if not part.is_renewed:
                        raise
                    wanted = Wanted(at, wanted.stop)
                    log.info("store.read_on_with_new_token", store=self._id, offset_bytes=at)
                else:
                    return

    @asynccontextmanager
    async def _part(self, place: Place, wanted: Wanted, witness: Witness) -> AsyncIterator[_Part]:
        first = witness.seen if isinstance(witness.seen, Seen) else None
        async with self._client.asked("GET", place, headers=_headers(wanted, first)) as asked:
            response = asked.response
            answer = Answer(store_id=self._id, status=response.status, headers=response.headers)
            if answer.status not in ({200, 206, 416} if wanted.is_part else {200}):
                refusal = self._client.refusal(response)
                if isinstance(refusal, Duplicate):
                    raise Unproved(self._id, "the object changed since its first part was read")
                raise refusal
            seen = answer.seen(wanted)
            if wanted.offset and first is not None:
                answer.check_same(seen, first)
            if seen.total_bytes is not None:
                witness.check_size(seen.total_bytes)
            body = answer.body(wanted, seen.total_bytes, 0)
            if not wanted.offset or first is None:
                witness.seen = seen
            async with aclosing(chunks_of(self._id, response, body, idle_s=self._idle_s)) as chunks:
                yield _Part(chunks, any(name in response.headers for name in _LARGE), asked.is_renewed)


def _headers(wanted: Wanted, first: Seen | None) -> dict[str, str]:
    """Swift ignores If-Range and obeys If-Match, for large objects too."""
    headers = wanted.headers(None)
    if wanted.offset and first is not None and first.etag is not None and first.has_strong_etag:
        headers["If-Match"] = first.etag
    return headers
