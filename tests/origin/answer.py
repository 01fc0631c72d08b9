"""One answer of the origin on its way out, byte by byte as the script says."""

import gzip
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus

from tests.content import KIB
from tests.origin.script import BEFORE_HEAD, POLL_S, Counts, Entry, Fault, Gate, Request

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_HEAD_MAX_BYTES = 64 * KIB


class PeerGone(Exception):
    """The client went, or the origin closes."""


class Floor:
    """What the threads of one origin share."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.closing = False

    @contextmanager
    def counted(self, counts: Counts, request: Request) -> Iterator["Turn"]:
        turn = Turn(self.lock, counts)
        with self.lock:
            counts.gets += request.method == "GET"
            counts.heads += request.method == "HEAD"
            counts.requests.append(request)
            counts.at_once += 1
            counts.at_once_max = max(counts.at_once_max, counts.at_once - counts.ending)
        try:
            yield turn
        except (OSError, PeerGone):
            with self.lock:
                counts.aborted += 1
            raise
        finally:
            with self.lock:
                counts.at_once -= 1
                counts.ending -= turn.is_ending

    def pass_gate(self, connection: socket.socket, gate: Gate, at: int) -> None:
        """Wait while `gate` holds byte `at`. Raises PeerGone when the client does not wait with us."""
        if gate.limit > at:
            return
        watch = select.poll()
        watch.register(connection, select.POLLRDHUP)
        with self.lock:
            gate.held += 1
        try:
            while gate.limit <= at:
                if self.closing or watch.poll(POLL_S * 1000):
                    raise PeerGone
        finally:
            with self.lock:
                gate.held -= 1


class Turn:
    """What is counted of one answer, always before its bytes go out: the client may look as soon as it has them."""

    def __init__(self, lock: threading.Lock, counts: Counts) -> None:
        self._lock, self._counts = lock, counts
        self.is_ending = False

    def ends(self) -> None:
        """Only its last bytes are left to be sent: who has got them may send its next request."""
        with self._lock:
            self._counts.ending += not self.is_ending
            self.is_ending = True

    @contextmanager
    def sending(self, size_bytes: int) -> Iterator[None]:
        """Count a part of the body; it does not count if it could not be sent."""
        with self._lock:
            self._counts.sent_bytes += size_bytes
        try:
            yield
        except OSError:
            with self._lock:
                self._counts.sent_bytes -= size_bytes
            raise


class Answer:
    """One answer on its way out."""

    def __init__(
        self, connection: socket.socket, request: Request, entry: Entry, fault: Fault, floor: Floor, turn: Turn
    ) -> None:
        self._connection, self._request, self._fault, self._floor = connection, request, fault, floor
        self._content, self._turn = entry.content, turn
        self._etag = entry.content.etag if fault.etag is None else fault.etag

    def send(self) -> bool:
        fault = self._fault
        if fault.gate is not None:
            self._floor.pass_gate(self._connection, fault.gate, BEFORE_HEAD)
        if fault.refuse:
            return self._end(reset=True)
        if fault.redirect is not None:
            return self._bare(fault.status or 302, {"Location": fault.redirect})
        if fault.status is not None and fault.status not in {200, 206}:
            return self._bare(fault.status, {})
        if self._request.headers.get("if-match", self._etag) != self._etag:
            return self._bare(412, {})
        start, stop = self._span()
        size = self._content.size_bytes
        if start >= size > 0:
            return self._bare(416, {"Content-Range": f"bytes */{size}"})
        body: Iterator[memoryview] = self._content.pieces(start, stop)
        length = stop - start
        if fault.gzip:
            packed = gzip.compress(self._content.read(start, stop), 1)
            body, length = iter([memoryview(packed)]), len(packed)
        if self._request.method == "HEAD" or not length:
            self._turn.ends()
        send(self._connection, self._full_head(start, stop, length))
        if self._request.method != "HEAD" and not self._body(body, start, length):
            return self._end(reset=fault.reset)
        if fault.length_off or fault.framing == "close":
            return self._end(reset=False)
        return True

    def _bare(self, status: int, headers: Mapping[str, str]) -> bool:
        self._turn.ends()
        send(self._connection, head(status, {"Content-Length": "0", **headers, **self._fault.headers}))
        return True

    def _end(self, *, reset: bool) -> bool:
        if reset:
            self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        return False

    def _span(self) -> tuple[int, int]:
        size, asked = self._content.size_bytes, self._request.headers.get("range", "")
        if not asked.startswith("bytes=") or self._fault.ignore_range or not self._is_current():
            return 0, size
        first, _, last = asked.removeprefix("bytes=").partition("-")
        if not first:
            return max(0, size - int(last)), size
        return int(first), min(size, int(last) + 1) if last else size

    def _is_current(self) -> bool:
        """What If-Range asks. A weak tag never is, and a date is by being the same: RFC 9110, 13.1.5."""
        condition = self._request.headers.get("if-range")
        if condition is None or self._fault.ignore_if_range:
            return True
        return not condition.startswith("W/") and condition in {self._etag, self._fault.modified}

    def _full_head(self, start: int, stop: int, length: int) -> bytes:
        fault, size = self._fault, self._content.size_bytes
        headers = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes"}
        validators = {"ETag": self._etag, "Last-Modified": fault.modified}
        headers.update({name: value for name, value in validators.items() if value})
        partial = "range" in self._request.headers and not fault.ignore_range and (start, stop) != (0, 0)
        partial = partial and self._is_current()
        if partial:
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
        if fault.framing == "length":
            headers["Content-Length"] = str(length + fault.length_off)
        elif fault.framing == "chunked":
            headers["Transfer-Encoding"] = "chunked"
        if fault.framing == "close" or fault.length_off:
            headers["Connection"] = "close"
        if fault.gzip:
            headers["Content-Encoding"] = "gzip"
        return head(fault.status or (206 if partial else 200), {**headers, **fault.headers})

    def _body(self, pieces: Iterator[memoryview], start: int, length: int) -> bool:
        """Send the body; whether it went out whole."""
        fault, sent, began = self._fault, 0, time.monotonic()
        for piece in pieces:
            rest = self._flipped(piece, start + sent)
            while rest:
                if fault.cut_at is not None and sent >= fault.cut_at:
                    return False
                part = rest[: self._stop(sent, len(rest))]
                sent, rest = sent + len(part), rest[len(part) :]
                if sent == length:
                    self._turn.ends()
                with self._turn.sending(len(part)):
                    self._send(part)
                if fault.rate_bytes_s is not None:
                    time.sleep(max(0.0, began + sent / fault.rate_bytes_s - time.monotonic()))
        if fault.cut_at is not None and sent >= fault.cut_at:
            return False
        if fault.framing == "chunked":
            send(self._connection, b"0\r\n\r\n")
        return sent == length

    def _send(self, part: memoryview) -> None:
        if self._fault.framing != "chunked":
            send(self._connection, part)
            return
        send(self._connection, b"%x\r\n" % len(part))
        send(self._connection, part)
        send(self._connection, b"\r\n")

    def _stop(self, sent: int, length: int) -> int:
        """How much may go out now."""
        fault = self._fault
        if fault.gate is not None:
            self._floor.pass_gate(self._connection, fault.gate, sent)
            length = int(min(length, fault.gate.limit - sent))
        if fault.cut_at is not None:
            length = min(length, fault.cut_at - sent)
        return min(length, max(1, fault.rate_bytes_s // 20)) if fault.rate_bytes_s is not None else length

    def _flipped(self, piece: memoryview, at: int) -> memoryview:
        place = -1 if self._fault.flip_at is None else self._fault.flip_at - at
        if not 0 <= place < len(piece):
            return piece
        changed = bytearray(piece)
        changed[place] ^= 1
        return memoryview(changed)


def read_request(connection: socket.socket) -> Request | None:
    head = bytearray()
    while not head.endswith(b"\r\n\r\n"):
        got = connection.recv(_HEAD_MAX_BYTES)
        if not got or len(head) > _HEAD_MAX_BYTES:
            return None
        head += got
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    method, target, _ = first.split(" ", 2)
    pairs = (line.partition(":") for line in lines)
    return Request(method, target, {name.strip().lower(): value.strip() for name, _, value in pairs})


def head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def send(connection: socket.socket, data: bytes | memoryview) -> None:
    connection.sendall(data)
