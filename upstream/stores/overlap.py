"""Whether two locations have the same object, as far as can be told where one goes on for the other. Pure."""

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator

from upstream.errors import Unproved

OVERLAP_BYTES = 64 * 1024


class AnotherObject(Unproved):
    """A location has other bytes than another location of the same image."""


class End:
    """The last bytes that were given, and where they ended. One read after the other: of several at once, the last."""

    def __init__(self) -> None:
        self._chunks: deque[bytes] = deque()  # joined when they are wanted, which they hardly ever are
        self._kept_bytes = self._stop = 0

    def add(self, start: int, chunk: bytes) -> None:
        if start != self._stop:
            self._chunks.clear()
            self._kept_bytes = 0
        self._chunks.append(chunk)
        self._kept_bytes += len(chunk)
        while self._kept_bytes - len(self._chunks[0]) >= OVERLAP_BYTES:
            self._kept_bytes -= len(self._chunks.popleft())
        self._stop = start + len(chunk)

    def before(self, offset: int) -> bytes:
        """The bytes that end at `offset`; none if they are not known."""
        return b"".join(self._chunks)[-OVERLAP_BYTES:] if offset == self._stop else b""


async def after_overlap(chunks: AsyncIterator[bytes], expected: bytes) -> AsyncGenerator[bytes]:
    """First an empty chunk, when `chunks` began with what was expected; then what comes after that.

    Raises AnotherObject.
    """
    left = expected
    rest = b""
    while left:
        chunk = await anext(chunks, b"")
        if not chunk or chunk[: len(left)] != left[: len(chunk)]:
            raise AnotherObject("the image's store", "its bytes are not those of another location of the image")
        left, rest = left[len(chunk) :], chunk[len(left) :]
    yield b""
    if rest:
        yield rest
    async for chunk in chunks:
        yield chunk
