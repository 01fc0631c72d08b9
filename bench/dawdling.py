"""Clients on slow lines: each takes a little of its body now and then, and the kernel holds little for it."""

import select
import socket
import time
from collections.abc import Callable
from itertools import count

from bench.connection import HEAD_MAX_BYTES, SILENT_S, BadAnswer, connected, digest_of, get, parse_head
from bench.load import Outcome, SlowDownloads

_TURN_S = 0.1
_STEPS = 10  # of a turn: each has its part of the clients, who do not march in step in life either
_RECEIVE_BYTES = 64 * 1024  # of the kernel, for each: what is beyond it waits at the server


class _Client:
    def __init__(self, job: SlowDownloads, number: int) -> None:
        self._job = job
        headers, self._answer = dict(job.headers), (200, job.size_bytes)
        if job.apart_bytes:
            start = number * job.apart_bytes
            headers["Range"] = f"bytes={start}-{start + job.stop_bytes - 1}"
            self._answer = (206, job.stop_bytes)
        self._request = get(job.path, job.host, job.port, headers)
        self._head = b""
        self._is_waiting = True
        self._digest = digest_of("xxh3_128")
        self._asked_s = 0.0
        self.body_bytes = 0
        self.wait_s: float | None = None
        self.error = ""
        self.socket = connected(job.host, job.port, _RECEIVE_BYTES)

    def ask(self) -> None:
        self._asked_s = time.perf_counter()
        self.socket.sendall(self._request)

    @property
    def is_done(self) -> bool:
        return bool(self.error) or self.body_bytes == self._job.stop_bytes

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()

    def read(self, allowed_bytes: int) -> None:
        """Up to so many body bytes in all. Raises OSError, BadAnswer; nothing there is no error."""
        try:
            if self._is_waiting:
                self._read_head(allowed_bytes)
            while not self._is_waiting and self.body_bytes < allowed_bytes:
                self._took(self.socket.recv(allowed_bytes - self.body_bytes))
        except BlockingIOError:
            return

    def _read_head(self, allowed_bytes: int) -> None:
        """The head byte by byte would be many calls; looked at first, taken when it is whole."""
        seen = self.socket.recv(HEAD_MAX_BYTES, socket.MSG_PEEK)
        head, end, _ = seen.partition(b"\r\n\r\n")
        if not seen:
            raise BadAnswer("closed before an answer")
        if not end:
            return
        self.socket.recv(len(head) + len(end))
        if parse_head(head) != self._answer:
            raise BadAnswer(f"another answer: {head[:80]!r}")
        self._is_waiting = False

    def _took(self, data: bytes) -> None:
        if not data:
            raise BadAnswer("closed before the end")
        if self.wait_s is None:
            self.wait_s = time.perf_counter() - self._asked_s
        self._digest.update(memoryview(data))
        self.body_bytes += len(data)


def dawdle(job: SlowDownloads, ready: Callable[[], None]) -> Outcome:
    """Every client reads, at each of its turns, its share of the time that has passed.

    Who is given nothing for long has failed.
    """
    clients = [_Client(job, number) for number in range(job.clients)]
    ready()
    started_s = time.perf_counter()
    for client in clients:
        client.ask()
    with select.epoll() as poller:
        _drive(job, clients, poller, started_s)
    seconds = time.perf_counter() - started_s
    for client in clients:
        client.socket.close()
    return Outcome(
        seconds=seconds,
        bodies=sum(not client.error for client in clients),
        body_bytes=sum(client.body_bytes for client in clients),
        waits_s=[client.wait_s for client in clients if client.wait_s is not None],
        digests=[client.digest for client in clients if not client.error],
        errors=[client.error for client in clients if client.error],
    )


def _drive(job: SlowDownloads, clients: list[_Client], poller: select.epoll, started_s: float) -> None:
    limit_s = job.stop_bytes / job.rate_bytes_s + SILENT_S
    waiting = {client.socket.fileno(): client for client in clients}
    for number in waiting:
        poller.register(number, select.EPOLLIN)
    for step in count():
        if all(client.is_done for client in clients):
            return
        passed_s = time.perf_counter() - started_s
        for client in clients[step % _STEPS :: _STEPS]:
            if client.is_done:
                continue
            _read(client, min(job.stop_bytes, max(1, int(job.rate_bytes_s * passed_s))))
            if passed_s > limit_s:
                client.error = client.error or f"not done after {limit_s:g} s"
        # Between two steps only first bytes are looked at: when they come is what is measured of them.
        while (rest_s := passed_s + _TURN_S / _STEPS - (time.perf_counter() - started_s)) > 0:
            for number, _ in poller.poll(rest_s):
                _read(waiting[number], 1)
                if waiting[number].wait_s is not None or waiting[number].error:
                    poller.unregister(number)
                    del waiting[number]


def _read(client: _Client, allowed_bytes: int) -> None:
    try:
        client.read(allowed_bytes)
    except (OSError, BadAnswer) as error:
        client.error = str(error)
