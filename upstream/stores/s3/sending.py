"""One object, or one part of one, on its way: proved by its MD5, and sent again where that can help."""

import asyncio
import base64
import hashlib
import random
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from upstream.errors import Unavailable, WrongLength
from upstream.retry import slot_s
from upstream.stores.s3.intake import Intake
from upstream.stores.s3.settling import settled
from upstream.stores.s3.transport import Body, Transport

_TRIES = 3
_MD5 = re.compile(r'"?([0-9a-f]{32})"?')
_ENCRYPTION = "x-amz-server-side-encryption"
_T = TypeVar("_T")


class Sender:
    """`pool` computes digests; None: nothing is digested."""

    def __init__(self, store_id: str, transport: Transport, pool: ThreadPoolExecutor | None) -> None:
        self._id, self._transport, self._pool = store_id, transport, pool

    async def send(self, url: str, pieces: Sequence[bytes], headers: Mapping[str, str]) -> str:
        """What is held in memory. The entity tag that the store gives it."""
        md5 = None
        if self._pool is not None:
            md5 = await asyncio.get_running_loop().run_in_executor(self._pool, _digested, pieces)
            headers = {**headers, "Content-MD5": base64.b64encode(md5.digest()).decode()}

        async def once() -> str:
            body = Body(pieces=_each(pieces), size_bytes=sum(map(len, pieces)))
            answer = await settled(self._transport.put(url, headers, body), lambda: body.is_sent)
            return self._etag(answer, md5)

        return await again(once)

    async def stream(self, url: str, intake: Intake, size_bytes: int, headers: Mapping[str, str]) -> str:
        """What comes, exactly so many bytes: it can be sent once. Raises WrongLength if fewer come."""
        md5 = hashlib.md5(usedforsecurity=False) if self._pool is not None else None
        body = Body(pieces=self._passed(intake, size_bytes, md5), size_bytes=size_bytes)
        answer = await settled(self._transport.put(url, headers, body), lambda: body.is_sent)
        return self._etag(answer, md5)

    async def _passed(self, intake: Intake, size_bytes: int, md5: "hashlib._Hash | None") -> AsyncGenerator[bytes]:
        before_bytes = intake.given_bytes
        async for piece in intake.pieces(size_bytes):
            if md5 is not None:
                await asyncio.get_running_loop().run_in_executor(self._pool, md5.update, piece)
            yield piece
        if intake.given_bytes - before_bytes != size_bytes:
            raise WrongLength(size_bytes, intake.given_bytes - before_bytes)

    def _etag(self, answer: Mapping[str, str], md5: "hashlib._Hash | None") -> str:
        """Raises Unavailable where it says that other bytes arrived.

        It is the MD5 of what was sent, unless the store encrypts with keys that it does not have itself.
        """
        etag = answer.get("ETag", "")
        match = _MD5.fullmatch(etag)
        is_plain = answer.get(_ENCRYPTION, "AES256") == "AES256" and f"{_ENCRYPTION}-customer-algorithm" not in answer
        if md5 is not None and match is not None and is_plain and match[1] != md5.hexdigest():
            raise Unavailable(self._id, "it got other bytes than were sent")
        return etag


async def again(call: Callable[[], Awaitable[_T]]) -> _T:
    """A few times, while the store says that this may help. One that was silent is not waited for a second time."""
    for failures in range(1, _TRIES):
        try:
            return await call()
        except Unavailable as error:
            if isinstance(error.__cause__, TimeoutError):
                raise
        await asyncio.sleep(slot_s(failures, random.random()))  # noqa: S311 - not a secret
    return await call()


async def _each(pieces: Sequence[bytes]) -> AsyncGenerator[bytes]:
    for piece in pieces:
        yield piece


def _digested(pieces: Sequence[bytes]) -> "hashlib._Hash":
    md5 = hashlib.md5(usedforsecurity=False)
    for piece in pieces:
        md5.update(piece)
    return md5
