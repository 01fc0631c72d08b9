"""Bytes of a source that breaks: read on from where it ended, until they are all there or nothing helps."""

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

import structlog

from cache.errors import Stalled, WrongSize
from cache.types import MIB, Source, Span

log = structlog.get_logger(__name__)

RETRIES_MAX = 5
_PROGRESS_BYTES = MIB  # who brought so much since it broke is as good as new
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 10.0


def pause_s(failures: int, chance: float) -> float:
    """How long to wait after so many failures in a row: doubling, and spread by `chance` of 0 to 1."""
    return float(min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** (failures - 1)) * (0.5 + chance / 2))


@asynccontextmanager
async def resuming(
    source: Source,
    key: str,
    span: Span,
    *,
    is_to_end: bool,
    idle_s: float,
    resumed: Callable[[Exception], None] = lambda _: None,
) -> AsyncIterator[AsyncIterator[bytes]]:
    """The bytes of `span`, all of them. `is_to_end`: the span ends where the blob does.

    Entering waits for the source's first answer and raises its refusal as it is. After that the source may break, end
    early or fall silent: it is opened again at the next byte, at most five times without progress, and `resumed` hears
    why. Iterating raises the last error when that does not help, and WrongSize at once for more bytes than there are.
    """
    stop = None if is_to_end else span.stop
    async with AsyncExitStack() as part:
        chunks = await part.enter_async_context(source(span.start, stop))
        async with aclosing(_resuming(source, key, span, stop, chunks, part, idle_s, resumed)) as pieces:
            yield pieces


async def _resuming(
    source: Source,
    key: str,
    span: Span,
    stop: int | None,
    chunks: AsyncIterator[bytes],
    part: AsyncExitStack,
    idle_s: float,
    resumed: Callable[[Exception], None],
) -> AsyncGenerator[bytes]:
    at = broke_at = span.start
    failures = 0
    while True:
        error: Exception
        try:
            if failures:
                chunks = await part.enter_async_context(source(at, stop))
            async with aclosing(limit_idle(chunks, idle_s)) as timely:
                async for chunk in timely:
                    at += len(chunk)
                    if at > span.stop:
                        raise _TooMuch(key, span.stop, at)  # noqa: TRY301 - ends this source like any other fault
                    yield chunk
            if at == span.stop:
                return
            error = WrongSize(key, span.stop, at)
        except _TooMuch:
            raise
        except Exception as broken:  # noqa: BLE001 - whatever a source raises: it is asked again, then it is raised
            error = broken
        await _close(part, error)
        failures = 1 if at - broke_at >= _PROGRESS_BYTES else failures + 1
        if failures > RETRIES_MAX:
            raise error
        broke_at = at
        resumed(error)
        log.warning("source.resumed", key=key, at_bytes=at, failures=failures, error=type(error).__name__)
        await asyncio.sleep(pause_s(failures, random.random()))  # noqa: S311 - spreads load, guards nothing


async def _close(part: AsyncExitStack, error: Exception) -> None:
    """Leave the part that broke by its error, so that its source knows which place to ask last."""
    with contextlib.suppress(Exception):
        await part.__aexit__(type(error), error, error.__traceback__)


class _TooMuch(WrongSize):
    """More bytes than the blob has: what came was another one's."""


async def limit_idle(chunks: AsyncIterator[bytes], idle_s: float) -> AsyncGenerator[bytes]:
    """The same chunks; raises Stalled when none comes for `idle_s`."""
    while True:
        try:
            async with asyncio.timeout(idle_s):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise Stalled(idle_s) from error
        yield chunk
