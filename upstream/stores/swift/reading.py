"""One read of an object, large or not, from any byte on."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from upstream.errors import Duplicate, Unproved
from upstream.stores.answers import Answer, Wanted
from upstream.stores.base import Witness
from upstream.stores.http import chunks_of
from upstream.stores.swift.client import Client, Place
from upstream.stores.validators import Seen


class Reader:
    """Reads by GET. What an answer must prove stands in `answers.py`.

    Swift looks at the token when a read begins, and not again for each segment: a long one outlives it.
    """

    def __init__(self, store_id: str, client: Client, *, idle_s: float) -> None:
        self._id, self._client, self._idle_s = store_id, client, idle_s

    @asynccontextmanager
    async def read(
        self, place: Place, offset: int, stop: int | None, witness: Witness
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        wanted = Wanted(offset, stop)
        first = witness.seen if isinstance(witness.seen, Seen) else None
        async with self._client.asked("GET", place, headers=_headers(wanted, first)) as response:
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
                yield chunks


def _headers(wanted: Wanted, first: Seen | None) -> dict[str, str]:
    """Swift ignores If-Range and obeys If-Match, for large objects too."""
    headers = wanted.headers(None)
    if wanted.offset and first is not None and first.etag is not None and first.has_strong_etag:
        headers["If-Match"] = first.etag
    return headers
