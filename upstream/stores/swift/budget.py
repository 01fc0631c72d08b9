"""How many bytes of uploads may be in memory, all writers of a store together."""

import asyncio
from collections import deque


class Budget:
    """First come, first served: a large piece is not overtaken for ever by small ones."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes, self._used_bytes = max_bytes, 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def used_bytes(self) -> int:
        return self._used_bytes

    async def take(self, size_bytes: int) -> None:
        """Wait until there is room. More than there is at all counts as all of it."""
        size_bytes = min(size_bytes, self._max_bytes)
        if not self._waiting and self._used_bytes + size_bytes <= self._max_bytes:
            self._used_bytes += size_bytes
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size_bytes, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give(size_bytes)
            else:
                self._waiting.remove((size_bytes, turn))
                self._let_in()
            raise

    def give(self, size_bytes: int) -> None:
        """Back what was taken by the same number."""
        self._used_bytes -= min(size_bytes, self._max_bytes)
        self._let_in()

    def _let_in(self) -> None:
        while self._waiting and self._used_bytes + self._waiting[0][0] <= self._max_bytes:
            size_bytes, turn = self._waiting.popleft()
            if not turn.done():
                self._used_bytes += size_bytes
                turn.set_result(None)
