"""HTTP/1.1 as far as a relay has to understand it: heads, and where bodies end."""

import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from tests.content import KIB
from tests.origin.answer import PeerGone

_PIECE_BYTES = 256 * KIB
_HEAD_MAX_BYTES = 64 * KIB
_LINE_MAX_BYTES = 8 * KIB

UNTIL_CLOSE = -1
CHUNKED = -2


class Head:
    """A request's or an answer's, as it came."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self._first, *self._lines = raw.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")

    @cached_property
    def words(self) -> list[str]:
        """Method, target, version; or version, status, reason."""
        return self._first.split(" ", 2)

    @cached_property
    def headers(self) -> Mapping[str, str]:
        pairs = (line.partition(":") for line in self._lines)
        return {name.strip().lower(): value.strip() for name, _, value in pairs}

    @property
    def status(self) -> int:
        return int(self.words[1])

    @property
    def is_last(self) -> bool:
        """Whether its sender ends the connection after it."""
        return "close" in self.headers.get("connection", "").lower()

    def changed(self, headers: Mapping[str, str | None], status: str | None = None) -> bytes:
        """With these headers in the place of those of the same name, or without the ones that are None."""
        gone = {name.lower() for name in headers}
        kept = [line for line in self._lines if line.partition(":")[0].strip().lower() not in gone]
        fresh = [f"{name}: {value}" for name, value in headers.items() if value is not None]
        first = self._first if status is None else f"HTTP/1.1 {status}"
        return ("\r\n".join([first, *kept, *fresh]) + "\r\n\r\n").encode("latin-1")

    def request_body(self) -> int:
        return self._length(0)

    def answer_body(self, method: str) -> int:
        """Bytes of the body, UNTIL_CLOSE or CHUNKED."""
        if method == "HEAD" or self.status in {204, 304}:
            return 0
        return self._length(UNTIL_CLOSE)

    def _length(self, unsaid: int) -> int:
        if "chunked" in self.headers.get("transfer-encoding", "").lower():
            return CHUNKED
        return int(self.headers.get("content-length", unsaid))


@dataclass(frozen=True, slots=True)
class Piece:
    """Of a body: as it came, and what of it is no framing."""

    raw: bytes
    payload: bytes


class Stream:
    """What comes out of one socket, head by head and body by body."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self._buffer = bytearray()

    def head(self) -> Head | None:
        """None if it ended before. Raises PeerGone if it ends within."""
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > _HEAD_MAX_BYTES:
                raise PeerGone
            if not self._more():
                if self._buffer:
                    raise PeerGone
                return None
        return Head(self._taken(end + 4))

    def body(self, length: int) -> Iterator[Piece]:
        """Raises PeerGone if it ends too early."""
        if length == CHUNKED:
            yield from self._chunks()
        elif length == UNTIL_CLOSE:
            while piece := self._some(_PIECE_BYTES):
                yield Piece(piece, piece)
        else:
            yield from self._exactly(length)

    def _chunks(self) -> Iterator[Piece]:
        while True:
            line = self._line()
            yield Piece(line, b"")
            size = int(line.split(b";")[0], 16)
            if not size:
                break
            yield from self._exactly(size)
            yield Piece(self._line(), b"")
        while (line := self._line()) != b"\r\n":
            yield Piece(line, b"")
        yield Piece(line, b"")

    def _exactly(self, length: int) -> Iterator[Piece]:
        while length:
            piece = self._some(length)
            if not piece:
                raise PeerGone
            length -= len(piece)
            yield Piece(piece, piece)

    def _line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            if len(self._buffer) > _LINE_MAX_BYTES or not self._more():
                raise PeerGone
        return self._taken(end + 2)

    def _some(self, limit: int) -> bytes:
        if self._buffer:
            return self._taken(min(limit, len(self._buffer)))
        return self.socket.recv(min(limit, _PIECE_BYTES))

    def _more(self) -> bool:
        got = self.socket.recv(_PIECE_BYTES)
        self._buffer += got
        return bool(got)

    def _taken(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken
