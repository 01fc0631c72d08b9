"""One request on its way to the server, and the answer on its way back."""

import socket
import struct
import threading
import time
from contextlib import suppress

from tests.origin.answer import Floor, PeerGone, head
from tests.origin.script import BEFORE_HEAD
from tests.relay.answer import WayBack
from tests.relay.framing import UNTIL_CLOSE, Head, Stream
from tests.relay.script import Fault, Seen

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Exchange:
    """`client` and `server` are the two ends; whoever made them closes them."""

    def __init__(self, client: Stream, server: Stream, request: Head, seen: Seen, floor: Floor) -> None:
        self._client, self._server, self._request, self._seen, self._floor = client, server, request, seen, floor
        self._fault = seen.fault

    def run(self, answer_at_s: float, rate_bytes_s: int | None) -> bool:
        """Nothing of the answer goes out before `answer_at_s`. Returns whether the connections may carry another."""
        self._server.socket.sendall(self._request.raw)
        sender = threading.Thread(target=self._send_body, name="relay-body", daemon=True)
        has_body = self._request.request_body() != 0
        if has_body:
            sender.start()
        may_go_on = False
        try:
            may_go_on = self._pass_answer(answer_at_s, rate_bytes_s)
        finally:
            if not may_go_on:  # wakes who waits for more of the body
                end(self._client.socket, socket.SHUT_RD)
                end(self._server.socket)
            if has_body:
                sender.join()
        return may_go_on

    def _send_body(self) -> None:
        """In a thread of its own, as a server may answer before it has all."""
        fault, taken = self._fault, 0
        try:
            for piece in self._client.body(self._request.request_body()):
                rest = piece.raw
                if fault.take is not None and taken + len(piece.payload) >= fault.take:
                    self._server.socket.sendall(rest[: fault.take - taken])
                    self._seen.taken_bytes = fault.take
                    raise PeerGone  # noqa: TRY301 - the end is the same, whoever makes it
                self._server.socket.sendall(rest)
                taken += len(piece.payload)
                self._seen.taken_bytes = taken
        except (OSError, PeerGone):
            end(self._server.socket)  # which ends the answer, too

    def _pass_answer(self, answer_at_s: float, rate_bytes_s: int | None) -> bool:
        fault, answer = self._fault, self._server.head()
        while answer is not None and answer.status < 200:
            self._client.socket.sendall(answer.raw)
            answer = self._server.head()
        if answer is None or fault.lose_answer:
            return self._ended(reset=fault.reset)
        if fault.gate is not None:
            self._floor.pass_gate(self._client.socket, fault.gate, BEFORE_HEAD)
        time.sleep(max(0.0, answer_at_s - time.monotonic()))
        self._seen.status = answer.status if fault.whole is None else 200
        way = WayBack(self._client.socket, answer, self._seen, self._floor)
        length = answer.answer_body(self._seen.method)
        pieces = self._server.body(length)
        is_whole = way.changed(pieces, length) if fault.changes_answer else way.untouched(pieces, rate_bytes_s)
        if not is_whole:
            return self._ended(reset=fault.reset)
        is_last = length == UNTIL_CLOSE or bool(fault.length_off) or fault.framing == "close" or fault.whole is not None
        return not (is_last or answer.is_last or self._request.is_last)

    def _ended(self, *, reset: bool) -> bool:
        if reset:
            self._client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        return False


def answered_here(client: Stream, request: Head, fault: Fault) -> bool:
    """The relay's own answer, with which the server has nothing to do. Whether the connection may carry another."""
    status = fault.status or 302
    headers = (
        {"Content-Length": str(len(fault.body))}
        | ({"Location": fault.redirect} if fault.redirect else {})
        | dict(fault.headers)
    )
    # Who was not told to go on does not send its body.
    is_last = "expect" in request.headers
    body = b"" if request.words[0] == "HEAD" else fault.body
    client.socket.sendall(head(status, headers | ({"Connection": "close"} if is_last else {})) + body)
    if is_last:
        return False
    for _ in client.body(request.request_body()):
        pass
    return not request.is_last


def end(connection: socket.socket, how: int = socket.SHUT_RDWR) -> None:
    """Whoever waits for it sees the end of it."""
    with suppress(OSError):
        connection.shutdown(how)
