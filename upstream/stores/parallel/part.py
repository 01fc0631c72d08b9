"""One part of an image on its way: a task receives it, its reader takes it."""

import asyncio
from collections import deque


class Part:
    """The bytes from `start` up to `stop`. `at` is how far they have come; up to `room_bytes` wait to be taken."""

    def __init__(self, start: int, stop: int, room_bytes: int, held_bytes: int) -> None:
        self.at, self.stop, self.held_bytes = start, stop, held_bytes
        self.is_opened = self.is_received = self.is_open_ended = False
        self.error: Exception | None = None
        self.is_next = asyncio.Event()  # all before it were handed out
        self._room_bytes, self._waiting_bytes = room_bytes, 0
        self._chunks: deque[bytes] = deque()
        self._news, self._room = asyncio.Event(), asyncio.Event()

    def open(self) -> None:
        """The store has agreed."""
        self.is_opened = True
        self._news.set()

    async def put(self, chunk: bytes) -> None:
        """Returns when there is room for another one."""
        self.at += len(chunk)
        self._chunks.append(chunk)
        self._waiting_bytes += len(chunk)
        self._news.set()
        while self._waiting_bytes >= self._room_bytes:
            self._room.clear()
            await self._room.wait()

    def end(self, error: Exception | None = None) -> None:
        """Nothing more comes: all is there, or it broke."""
        self.is_received, self.error = error is None, error
        self._news.set()

    async def opened(self) -> None:
        """Wait for the store's word. Raises its refusal."""
        while not self.is_opened:
            if self.error is not None:
                raise self.error
            await self._next_news()

    async def take(self) -> bytes | None:
        """The next chunk, None at the end. Raises the error that the part ended with, after what came before it."""
        while not self._chunks:
            if self.error is not None:
                raise self.error
            if self.is_received:
                return None
            await self._next_news()
        chunk = self._chunks.popleft()
        self._waiting_bytes -= len(chunk)
        self._room.set()
        return chunk

    async def _next_news(self) -> None:
        self._news.clear()
        await self._news.wait()
