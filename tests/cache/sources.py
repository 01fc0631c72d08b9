"""Sources that a test holds in its hand."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from cache import Blob, Digest, Purpose
from tests.content import Content


class StoreBroke(Exception):
    """What a store might raise."""


class GatedSource:
    """Gives a content's bytes up to where `release` has let it; counts how often it was opened.

    `refuse` is raised on opening, `fail` when the released part is used up, `flip_at` damages one byte.
    `cuts` are places where the bytes end, once each, with a StoreBroke. `others` is how many more places it says to
    have when it is distrusted.
    """

    def __init__(
        self,
        content: Content,
        *,
        released: int | None = None,
        refuse: Exception | None = None,
        fail: Exception | None = None,
        flip_at: int | None = None,
        cuts: Iterable[int] = (),
        others: int = 0,
        piece_bytes: int = 64 * 1024,
    ) -> None:
        self.content = content
        self.opened = 0
        self.offsets: list[int] = []
        self.stops: list[int | None] = []
        self.closed = 0
        self.given_bytes = 0
        self.distrusted = 0
        self.purposes: list[Purpose] = []
        self._cuts, self._others = sorted(cuts), others
        self.asked = asyncio.Event()
        self._released = content.size_bytes if released is None else released
        self._refuse, self._fail, self._flip_at = refuse, fail, flip_at
        self._piece_bytes = piece_bytes
        self._changed = asyncio.Event()

    def release(self, to: int | None = None) -> None:
        self._released = self.content.size_bytes if to is None else to
        self._changed.set()

    def fail_with(self, error: Exception) -> None:
        """Break once the released part is used up."""
        self._fail = error
        self._changed.set()

    def wanted_for(self, purpose: Purpose) -> None:
        self.purposes.append(purpose)

    def distrust(self) -> bool:
        self.distrusted += 1
        self._flip_at = None
        return self.distrusted <= self._others

    @asynccontextmanager
    async def __call__(self, offset: int, stop: int | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        self.opened += 1
        self.asked.set()
        self.offsets.append(offset)
        self.stops.append(stop)
        if self._refuse is not None:
            raise self._refuse
        try:
            yield self._chunks(offset, self.content.size_bytes if stop is None else stop)
        finally:
            self.closed += 1

    async def _chunks(self, at: int, end: int) -> AsyncIterator[bytes]:
        while at < end:
            if self._cuts and at >= self._cuts[0]:
                del self._cuts[0]
                raise StoreBroke
            if at >= self._released:
                if self._fail is not None:
                    raise self._fail
                self._changed.clear()
                await self._changed.wait()
                continue
            stop = min(at + self._piece_bytes, self._released, end, *self._cuts[:1])
            piece = bytearray(self.content.read(at, stop))
            if self._flip_at is not None and at <= self._flip_at < stop:
                piece[self._flip_at - at] ^= 1
            self.given_bytes += len(piece)
            yield bytes(piece)
            at = stop


def blob_of(content: Content, key: str = "image-1") -> Blob:
    return Blob(key=key, size_bytes=content.size_bytes, digest=Digest("sha512", content.digest()))
