"""An answer on its way back: untouched, or as the fault says."""

import re
import socket
import time
from collections.abc import Iterator
from http import HTTPStatus

from tests.origin.answer import Floor
from tests.relay.framing import CHUNKED, Head, Piece
from tests.relay.script import Seen

_OK = f"200 {HTTPStatus.OK.phrase}"


class WayBack:
    def __init__(self, client: socket.socket, answer: Head, seen: Seen, floor: Floor) -> None:
        self._client, self._answer, self._seen, self._floor = client, answer, seen, floor
        self._fault = seen.fault

    def untouched(self, pieces: Iterator[Piece], rate_bytes_s: int | None) -> bool:
        gate, began_s = self._fault.gate, time.monotonic()
        self._client.sendall(self._answer.raw)
        for piece in pieces:
            rest = piece.payload
            if not rest:
                self._client.sendall(piece.raw)
            while rest:
                if gate is not None:
                    self._floor.pass_gate(self._client, gate, self._seen.sent_bytes)
                size = len(rest) if gate is None else int(min(len(rest), gate.limit - self._seen.sent_bytes))
                self._send(rest[:size])
                rest = rest[size:]
                self._keep_pace(began_s, rate_bytes_s)
        return True

    def changed(self, pieces: Iterator[Piece], length: int) -> bool:
        """Whether it went out to its end, be that the wrong one."""
        fault, began_s = self._fault, time.monotonic()
        payloads = (piece.payload for piece in pieces if piece.payload)
        if fault.whole is not None:
            payloads = (bytes(piece) for piece in fault.whole.pieces() if self._seen.method != "HEAD")
        self._client.sendall(self._head())
        is_chunked = fault.framing == "chunked" or self._stays_chunked(length)
        for payload in payloads:
            rest = self._flipped(payload)
            while rest:
                if fault.cut_at is not None and self._seen.sent_bytes >= fault.cut_at:
                    return False
                size = self._size_now(len(rest))
                marked = b"%x\r\n%s\r\n" % (size, rest[:size]) if is_chunked else rest[:size]
                self._send(marked, size)
                rest = rest[size:]
                self._keep_pace(began_s, fault.rate_bytes_s)
        if fault.cut_at is not None and self._seen.sent_bytes >= fault.cut_at:
            return False
        if is_chunked:
            self._client.sendall(b"0\r\n\r\n")
        return True

    def _send(self, data: bytes, size: int | None = None) -> None:
        """Counted before it goes out: the client may look as soon as it has it."""
        self._seen.sent_bytes += len(data) if size is None else size
        self._client.sendall(data)

    def _size_now(self, length: int) -> int:
        fault, sent = self._fault, self._seen.sent_bytes
        if fault.gate is not None:
            self._floor.pass_gate(self._client, fault.gate, sent)
            length = int(min(length, fault.gate.limit - sent))
        if fault.cut_at is not None:
            length = min(length, fault.cut_at - sent)
        return min(length, max(1, fault.rate_bytes_s // 20)) if fault.rate_bytes_s is not None else length

    def _keep_pace(self, began_s: float, rate_bytes_s: int | None) -> None:
        if rate_bytes_s is not None:
            time.sleep(max(0.0, began_s + self._seen.sent_bytes / rate_bytes_s - time.monotonic()))

    def _stays_chunked(self, length: int) -> bool:
        return length == CHUNKED and self._fault.framing == "as it is" and self._fault.whole is None

    def _head(self) -> bytes:
        fault = self._fault
        headers: dict[str, str | None] = dict(fault.headers)
        if fault.etag is not None:
            headers["ETag"] = fault.etag
        if fault.whole is not None:
            headers |= {"Content-Range": None, "Content-Length": str(fault.whole.size_bytes)}
        elif fault.length_off:
            headers["Content-Length"] = str(int(self._answer.headers["content-length"]) + fault.length_off)
        if fault.framing != "as it is":
            headers["Content-Length"] = None
            headers["Transfer-Encoding"] = "chunked" if fault.framing == "chunked" else None
        if fault.framing == "close" or fault.length_off or fault.whole is not None:
            headers["Connection"] = "close"
        return self._answer.changed(headers, None if fault.whole is None else _OK)

    def _flipped(self, payload: bytes) -> bytes:
        """`payload` comes next."""
        if self._fault.flip_at is None:
            return payload
        started = re.match(r"bytes (\d+)-", self._answer.headers.get("content-range", ""))
        start = int(started[1]) if started and self._fault.whole is None else 0
        place = self._fault.flip_at - start - self._seen.sent_bytes
        if not 0 <= place < len(payload):
            return payload
        changed = bytearray(payload)
        changed[place] ^= 1
        return bytes(changed)
