"""The parts of one multipart upload, several at once, within a bound of memory."""

import asyncio
from collections.abc import Callable, Sequence

from upstream.stores.s3.intake import Intake
from upstream.stores.s3.plan import HELD_MAX_BYTES, Plan
from upstream.stores.s3.sending import Sender


class Parts:
    """`run` once, in a group that owns the sending of each part."""

    def __init__(self, sender: Sender, url_of: Callable[[int], str], parts_max: int) -> None:
        self._sender, self._url_of, self._parts_max = sender, url_of, parts_max
        self._etags: dict[int, str] = {}
        self._held_bytes, self._held_parts = 0, 0
        self._freed = asyncio.Event()

    async def run(self, group: asyncio.TaskGroup, plan: Plan, intake: Intake) -> None:
        """Until the data end; the group waits for what is then still on its way."""
        number = 0
        while await intake.has_more():
            number += 1
            part = plan.part(number, intake.given_bytes)
            if part.is_streamed:
                self._etags[number] = await self._sender.stream(self._url_of(number), intake, part.size_bytes, {})
                continue
            await self._room(part.size_bytes)
            pieces = await intake.gathered(part.size_bytes)
            group.create_task(self._send(number, pieces, part.size_bytes))

    def etags(self) -> list[str]:
        """In the order of the parts."""
        return [self._etags[number] for number in sorted(self._etags)]

    async def _room(self, size_bytes: int) -> None:
        """Wait until so much more may be held, and hold it. Only `run` waits here."""
        while self._held_parts and (
            self._held_parts >= self._parts_max or self._held_bytes + size_bytes > HELD_MAX_BYTES
        ):
            self._freed.clear()
            await self._freed.wait()
        self._held_bytes += size_bytes
        self._held_parts += 1

    async def _send(self, number: int, pieces: Sequence[bytes], size_bytes: int) -> None:
        self._etags[number] = await self._sender.send(self._url_of(number), pieces, {})
        self._held_bytes -= size_bytes
        self._held_parts -= 1
        self._freed.set()
