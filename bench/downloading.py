"""Bodies by many clients at once, as fast as they come.

Bodies that nobody looks at are dropped by the kernel (MSG_TRUNC), so that the client's copying does not hide what the
server costs. One loop drives all connections.
"""

import mmap
import select
import socket
import time
from collections.abc import Callable, Iterable

from bench.connection import HEAD_MAX_BYTES, SILENT_S, BadAnswer, Digest, connected, digest_of, get, parse_head, tell
from bench.load import Downloads, Outcome

_PIECE_BYTES = 4 * 1024 * 1024
_DIGEST_PIECE_BYTES = 512 * 1024  # stays in the processor's cache from the copy to the digest


class _Client:
    """A connection, and the body that it waits for or reads."""

    def __init__(self, job: Downloads, number: int, buffer: memoryview) -> None:
        self._job, self._buffer = job, buffer
        self._spans = job.ranges.spans(number, job.times, job.size_bytes) if job.ranges else []
        self._request = get(job.path, job.host, job.port, job.headers)
        self._head = b""
        self._status, self._length_bytes = 200, job.size_bytes
        self._left_bytes, self._asked_s = 0, 0.0
        self._is_waiting = True
        self._digest: Digest | None = None
        self.body_bytes, self.bodies = 0, 0
        self.waits_s: list[float] = []
        self.digests: list[str] = []
        self.error = ""
        self._is_closed_after = False
        self.socket = connected(job.host, job.port)

    def ask(self) -> None:
        if self._is_closed_after:
            old, self.socket = self.socket, connected(self._job.host, self._job.port)
            old.close()
            self._is_closed_after = False
        if self._spans:
            start, stop = self._spans[self.bodies]
            self._status, self._length_bytes = 206, stop - start
            headers = {**self._job.headers, "Range": f"bytes={start}-{stop - 1}"}
            self._request = get(self._job.path, self._job.host, self._job.port, headers)
        self._head, self._left_bytes, self._is_waiting = b"", self._length_bytes, True
        if self._job.digest != "none" and (self._digest is None or not self._spans):
            self._digest = digest_of(self._job.digest)
        self._asked_s = time.perf_counter()
        self.socket.sendall(self._request)

    def read(self) -> bool:
        """Take what is there; whether the client is done. Raises OSError, BadAnswer."""
        if self._is_waiting:
            self._read_head()
        elif self._digest is None:
            count = self.socket.recv_into(self._buffer, min(_PIECE_BYTES, self._left_bytes), socket.MSG_TRUNC)
            self._took(count)
        else:
            count = self.socket.recv_into(self._buffer, min(_DIGEST_PIECE_BYTES, self._left_bytes))
            self._digest.update(self._buffer[:count])
            self._took(count)
        if self._is_waiting or self._left_bytes:
            return False
        self.bodies += 1
        if self._spans:
            self.waits_s.append(time.perf_counter() - self._asked_s)
        is_done = not self._job.seconds and self.bodies == self._job.times
        if self._digest is not None and (is_done or not self._spans):
            self.digests.append(self._digest.hexdigest())
        if not is_done:
            self.ask()
        return is_done

    def cut(self, ended_s: float) -> bool:
        """The time is over. Whether the client still waited for a first byte: how long enters with the time so far."""
        if self._is_waiting:
            self.waits_s.append(ended_s - self._asked_s)
        return self._is_waiting

    def _read_head(self) -> None:
        """Heads are short: what comes with them of the body is looked at, never thrown away."""
        got = self.socket.recv(HEAD_MAX_BYTES)
        if not got:
            raise BadAnswer("closed before an answer")
        self._head += got
        head, end, rest = self._head.partition(b"\r\n\r\n")
        if not end:
            return
        status, length = parse_head(head)
        if (status, length) != (self._status, self._length_bytes):
            wanted = f"{self._status} with {self._length_bytes}"
            raise BadAnswer(f"status {status} with {length} bytes instead of {wanted}")
        self._is_closed_after = b"\r\nconnection: close" in head.lower()
        if rest:
            if self._digest is not None:
                self._digest.update(memoryview(rest))
            self._took(len(rest))
        self._is_waiting = not rest
        self._head = head + end

    def _took(self, count: int) -> None:
        if not count:
            raise BadAnswer(f"closed {self._left_bytes} bytes before the end of the body")
        if self._left_bytes == self._length_bytes and not self._spans:
            self.waits_s.append(time.perf_counter() - self._asked_s)
        self._left_bytes -= count
        self.body_bytes += count


def download(job: Downloads, ready: Callable[[], None]) -> Outcome:
    """All downloads of a job. What goes wrong with one of them does not stop the others."""
    buffer = memoryview(mmap.mmap(-1, _PIECE_BYTES))  # of all: what lands here is looked at once, at once
    clients = [_Client(job, number, buffer) for number in range(job.clients)]
    ready()
    started_s = time.perf_counter()
    left = _drive(job, clients, started_s)
    ended_s = time.perf_counter()
    unanswered = sum(client.cut(ended_s) for client in left)
    for client in clients:
        client.socket.close()
    return Outcome(
        seconds=ended_s - started_s,
        bodies=sum(client.bodies for client in clients),
        body_bytes=sum(client.body_bytes for client in clients),
        waits_s=[wait for client in clients for wait in client.waits_s],
        digests=[digest for client in clients for digest in client.digests],
        unanswered=unanswered,
        errors=[client.error for client in clients if client.error],
    )


def _drive(job: Downloads, clients: list[_Client], started_s: float) -> Iterable[_Client]:
    """Until all are done or the time is over; those that were not done then."""
    told_s = started_s
    with select.epoll() as poller:
        running = {client.socket.fileno(): client for client in clients}
        for client in clients:
            client.ask()
            poller.register(client.socket, select.EPOLLIN)
        while running:
            left_s = job.seconds - (time.perf_counter() - started_s) if job.seconds else SILENT_S
            if left_s <= 0:
                return running.values()
            events = poller.poll(min(left_s, SILENT_S))
            if not events and not job.seconds:
                for client in running.values():
                    client.error = f"silent for {SILENT_S:g} s"
                break
            for number, _ in events:
                _take(running, number, poller)
            if job.told_s and time.perf_counter() - told_s > job.told_s:
                told_s = time.perf_counter()
                tell({"body_bytes": sum(client.body_bytes for client in clients)})
    return ()


def _take(running: dict[int, _Client], number: int, poller: select.epoll) -> None:
    """What is there for one client, who may be done then, or go on over another connection."""
    client = running[number]
    old = client.socket
    try:
        is_done = client.read()
    except (OSError, BadAnswer) as error:
        client.error, is_done = str(error), True
    if client.socket is not old:  # its closing took it from the poller
        del running[number]
        running[client.socket.fileno()] = client
        poller.register(client.socket, select.EPOLLIN)
    if is_done:
        poller.unregister(client.socket)
        del running[client.socket.fileno()]
