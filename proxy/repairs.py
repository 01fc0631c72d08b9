"""What could not be put right because a service was down: tried again until it can be."""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable

import structlog

from upstream.errors import UpstreamError
from upstream.retry import slot_s

log = structlog.get_logger(__name__)

Repair = Callable[[], Awaitable[object]]


class Repairs:
    """One after the other, in the order in which they came. `run` belongs into a task of the composition root.

    A repair raises UpstreamError if it is to be tried again. Those that are left when Glint stops are told in the log.
    """

    def __init__(self) -> None:
        self._left: deque[tuple[str, Repair]] = deque()
        self._came = asyncio.Event()

    def later(self, name: str, repair: Repair) -> None:
        """`name` says in logs what is repaired."""
        self._left.append((name, repair))
        self._came.set()

    async def run(self) -> None:
        """Until it is cancelled."""
        try:
            while True:
                await self._came.wait()
                self._came.clear()
                while self._left:
                    await self._repair(*self._left[0])
                    self._left.popleft()
        finally:
            for name, _ in self._left:
                log.error("repair.given_up", repair=name)

    async def _repair(self, name: str, repair: Repair) -> None:
        failures = 0
        while True:
            try:
                await repair()
            except UpstreamError as error:
                failures += 1
                log.warning("repair.failed", repair=name, error=type(error).__name__)
                await asyncio.sleep(slot_s(failures, random.random()))  # noqa: S311 - nothing to guess
            except Exception as error:
                # One that cannot succeed must not end the others.
                log.error("repair.given_up", repair=name, exc_info=error)
                return
            else:
                log.info("repair.done", repair=name)
                return
