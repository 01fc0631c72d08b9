"""Writing an image whose size may not be known: pieces in order, several on their way, in bounded memory."""

from collections import deque
from collections.abc import AsyncIterator
from functools import partial

from upstream.stores.rbd.images import Opened
from upstream.stores.rbd.threads import Call, Threads

MIB = 1024 * 1024
_PIECE_MIN_BYTES, _PIECE_MAX_BYTES = MIB, 4 * MIB
_ON_THE_WAY = 4  # with the piece that is being gathered and the one handed over, 6 x 4 MiB
_GROW_MAX_BYTES = 8 * 1024 * MIB


def grown(size_bytes: int, step_bytes: int, needed_bytes: int) -> tuple[int, int]:
    """How large to make an image that has to hold `needed_bytes`, and the step before the next one.

    Each step is twice the one before, 8 GiB at most, so that a stream of any length costs few of them.
    """
    while size_bytes < needed_bytes:
        step_bytes = min(2 * step_bytes, _GROW_MAX_BYTES)
        size_bytes += step_bytes
    return size_bytes, step_bytes


class Writing:
    """One image that is being written, by one task."""

    def __init__(
        self, threads: Threads, opened: Opened, *, chunk_bytes: int, size_bytes: int, keeps_holes: bool
    ) -> None:
        self._threads, self._opened = threads, opened
        self._piece_bytes = max(_PIECE_MIN_BYTES, min(chunk_bytes, _PIECE_MAX_BYTES))
        self._room_bytes, self._step_bytes = size_bytes, chunk_bytes
        self._keeps_holes = keeps_holes
        self._zeros = bytes(self._piece_bytes)
        self._on_the_way: deque[Call[None]] = deque()
        self.written_bytes = 0

    async def take(self, chunks: AsyncIterator[bytes]) -> None:
        """Write all of them. Raises what they raise, Denied, StoreFull, Unavailable."""
        gathered: list[bytes] = []
        gathered_bytes = 0
        try:
            async for given in chunks:
                chunk = given
                while gathered_bytes + len(chunk) >= self._piece_bytes:
                    lacking = self._piece_bytes - gathered_bytes
                    await self._write(b"".join([*gathered, chunk[:lacking]]))
                    gathered, gathered_bytes, chunk = [], 0, chunk[lacking:]
                gathered.append(chunk)
                gathered_bytes += len(chunk)
            if gathered_bytes:
                await self._write(b"".join(gathered))
            while self._on_the_way:
                await self._threads.wait(self._on_the_way.popleft())
        finally:
            while self._on_the_way:
                self._threads.give_up(self._on_the_way.popleft())

    async def _write(self, piece: bytes) -> None:
        at, self.written_bytes = self.written_bytes, self.written_bytes + len(piece)
        if self.written_bytes > self._room_bytes:
            self._room_bytes, self._step_bytes = grown(self._room_bytes, self._step_bytes, self.written_bytes)
            await self._threads.run(partial(self._resize, self._room_bytes))
        if self._keeps_holes and piece == (self._zeros if len(piece) == len(self._zeros) else bytes(len(piece))):
            return
        while len(self._on_the_way) >= _ON_THE_WAY:
            await self._threads.wait(self._on_the_way.popleft())
        self._on_the_way.append(await self._threads.begin(partial(self._put, piece, at)))

    def _resize(self, size_bytes: int) -> None:
        with self._opened.used("enlarge an image") as image:
            image.resize(size_bytes)

    def _put(self, piece: bytes, at: int) -> None:
        with self._opened.used("write an image") as image:
            image.write(piece, at)
