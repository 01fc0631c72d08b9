"""The data of one write, cut to the sizes that are asked for."""

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

_JOINED_BYTES = 256 * 1024  # crumbs are held together: each costs 50 bytes more than it has


class Intake:
    """For one reader at a time."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks, self._ready = chunks, deque[bytes]()
        self.given_bytes = 0

    async def pieces(self, size_bytes: int) -> AsyncGenerator[bytes]:
        """The next so many bytes as they come; fewer only at the end of the data."""
        while size_bytes > 0 and await self.has_more():
            piece = self._ready.popleft()
            if len(piece) > size_bytes:
                self._ready.appendleft(piece[size_bytes:])
                piece = piece[:size_bytes]
            size_bytes -= len(piece)
            self.given_bytes += len(piece)
            yield piece

    async def gathered(self, size_bytes: int) -> list[bytes]:
        held: list[bytes] = []
        crumbs: list[bytes] = []
        crumbs_bytes = 0
        async for piece in self.pieces(size_bytes):
            crumbs.append(piece)
            crumbs_bytes += len(piece)
            if crumbs_bytes >= _JOINED_BYTES:
                held.append(b"".join(crumbs))
                crumbs, crumbs_bytes = [], 0
        return [*held, b"".join(crumbs)] if crumbs else held

    def put_back(self, pieces: Sequence[bytes]) -> None:
        """They are given again."""
        self._ready.extendleft(reversed(pieces))
        self.given_bytes -= sum(map(len, pieces))

    async def has_more(self) -> bool:
        while not self._ready:
            chunk = await anext(self._chunks, None)
            if chunk is None:
                return False
            if chunk:
                self._ready.append(chunk)
        return True
