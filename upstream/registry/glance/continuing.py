"""Request bodies on their way to Glance: when the first byte may go, and how long the others may take."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

import aiohttp

CONTINUE_S: Final = 1.0


class PatientRequest(aiohttp.ClientRequest):
    """With Expect it waits for 100 Continue, but not for ever: aiohttp would, and many servers never say it.

    Source: RFC 9110, section 10.1.1: a client should not wait for an indefinite period.
    """

    def update_expect_continue(self, expect: bool = False) -> None:  # noqa: FBT001, FBT002 - aiohttp's signature
        super().update_expect_continue(expect)
        if self._continue is not None:
            self.loop.call_later(CONTINUE_S, _go_on, self._continue)


def _go_on(waiting: "asyncio.Future[bool]") -> None:
    if not waiting.done():
        waiting.set_result(True)


class Pace:
    """How long Glance may take over a body: `chunk_s` for each chunk, `answer_s` after the last one.

    What the client holds back is not held against Glance. Once there is an answer nothing more is sent: it was not
    needed, and the end of the body must not look like one.
    """

    def __init__(self, limit: asyncio.Timeout, *, chunk_s: float, answer_s: float) -> None:
        self._limit, self._chunk_s, self._answer_s = limit, chunk_s, answer_s
        self._is_answered = False

    def answered(self) -> None:
        self._is_answered = True

    async def of(self, body: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
        await self._set(None)
        async with aclosing(body):
            async for chunk in body:
                await self._set(self._chunk_s)
                yield chunk
                await self._set(None)
        await self._set(self._answer_s)

    async def _set(self, within_s: float | None) -> None:
        if self._is_answered:
            await asyncio.Event().wait()  # until whoever has the answer closes the connection
        self._limit.reschedule(None if within_s is None else asyncio.get_running_loop().time() + within_s)
