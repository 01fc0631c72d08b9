"""Load on a server, from a process of its own: `python -m bench.client` reads a job, waits for "go", tells the outcome.

Bodies that nobody looks at are dropped by the kernel (MSG_TRUNC), so that the client's copying does not hide what the
server costs. One loop drives all connections; sockets are plain and the HTTP is the little that the servers speak.
"""

import hashlib
import json
import mmap
import os
import select
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import xxhash

from bench.load import Downloads, Job, Outcome, Requests, dump, parse_job

_PIECE_BYTES = 4 * 1024 * 1024
_DIGEST_PIECE_BYTES = 512 * 1024  # stays in the processor's cache from the copy to the digest
_HEAD_MAX_BYTES = 64 * 1024
_SILENT_S = 60.0  # nothing from any server for so long is an error
_DIGESTS: dict[str, Callable[[], "Digest"]] = {"xxh3_128": xxhash.xxh3_128, "sha512": hashlib.sha512}


class Digest(Protocol):
    def update(self, data: memoryview, /) -> None: ...

    def hexdigest(self) -> str: ...


class BadAnswer(Exception):
    """Not what was asked for."""


class _Download:
    """One client: a connection, and the body that it waits for or reads."""

    def __init__(self, job: Downloads, buffer: memoryview) -> None:
        self._job, self._buffer = job, buffer
        self._request = _request(job.path, job.host, job.port, job.headers)
        self._head = b""
        self._left_bytes, self._asked_s = 0, 0.0
        self._is_waiting = True
        self._digest: Digest | None = None
        self.body_bytes, self.bodies = 0, 0
        self.waits_s: list[float] = []
        self.digests: list[str] = []
        self.error = ""
        self.socket = _connected(job.host, job.port)

    def ask(self) -> None:
        self._head, self._left_bytes, self._is_waiting = b"", self._job.size_bytes, True
        self._digest = _DIGESTS[self._job.digest]() if self._job.digest != "none" else None
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
        if self._digest is not None:
            self.digests.append(self._digest.hexdigest())
        if self.bodies == self._job.times:
            return True
        self.ask()
        return False

    def _read_head(self) -> None:
        """Heads are short: what comes with them of the body is looked at, never thrown away."""
        got = self.socket.recv(_HEAD_MAX_BYTES)
        if not got:
            raise BadAnswer("closed before an answer")
        self._head += got
        head, end, rest = self._head.partition(b"\r\n\r\n")
        if not end:
            return
        status, length = _parse(head)
        if status != 200 or length != self._job.size_bytes:
            raise BadAnswer(f"status {status} with {length} bytes instead of 200 with {self._job.size_bytes}")
        if rest:
            if self._digest is not None:
                self._digest.update(memoryview(rest))
            self._took(len(rest))
        self._is_waiting = not rest
        self._head = head + end

    def _took(self, count: int) -> None:
        if not count:
            raise BadAnswer(f"closed {self._left_bytes} bytes before the end of the body")
        if self._left_bytes == self._job.size_bytes:
            self.waits_s.append(time.perf_counter() - self._asked_s)
        self._left_bytes -= count
        self.body_bytes += count


def download(job: Downloads, ready: Callable[[], None]) -> Outcome:
    """All downloads of a job. What goes wrong with one of them does not stop the others."""
    buffer = memoryview(mmap.mmap(-1, _PIECE_BYTES))  # of all: what lands here is looked at once, at once
    clients = [_Download(job, buffer) for _ in range(job.clients)]
    ready()
    started_s = told_s = time.perf_counter()
    with select.epoll() as poller:
        running = {client.socket.fileno(): client for client in clients}
        for client in clients:
            client.ask()
            poller.register(client.socket, select.EPOLLIN)
        while running:
            events = poller.poll(_SILENT_S)
            if not events:
                for client in running.values():
                    client.error = f"silent for {_SILENT_S:g} s"
                break
            for number, _ in events:
                client = running[number]
                try:
                    is_done = client.read()
                except (OSError, BadAnswer) as error:
                    client.error, is_done = str(error), True
                if is_done:
                    poller.unregister(number)
                    del running[number]
            if job.told_s and time.perf_counter() - told_s > job.told_s:
                told_s = time.perf_counter()
                _tell({"body_bytes": sum(client.body_bytes for client in clients)})
    seconds = time.perf_counter() - started_s
    for client in clients:
        client.socket.close()
    return Outcome(
        seconds=seconds,
        bodies=sum(client.bodies for client in clients),
        body_bytes=sum(client.body_bytes for client in clients),
        waits_s=[wait for client in clients for wait in client.waits_s],
        digests=[digest for client in clients for digest in client.digests],
        errors=[client.error for client in clients if client.error],
    )


class _Caller:
    """One connection with one small request under way at a time; made anew when the server closes it."""

    def __init__(self, job: Requests) -> None:
        self._job = job
        self._request = _request(job.path, job.host, job.port, job.headers)
        self._got, self._asked_s = b"", 0.0
        self.body = b""
        self.socket = socket.socket()
        self.connect()

    def connect(self) -> None:
        self.socket.close()
        self.socket = _connected(self._job.host, self._job.port)

    def ask(self) -> None:
        self._got, self._asked_s = b"", time.perf_counter()
        self.socket.sendall(self._request)

    def read(self) -> float | None:
        """Seconds that the answer took if it is whole now. Raises OSError, BadAnswer."""
        got = self.socket.recv(_HEAD_MAX_BYTES)
        if not got:
            raise BadAnswer("closed before an answer")
        self._got += got
        head, end, body = self._got.partition(b"\r\n\r\n")
        if not end:
            return None
        status, length = _parse(head)
        if len(body) < length:
            return None
        if status != 200 or (self.body and body != self.body):
            raise BadAnswer(f"status {status}, or another answer than before")
        self.body = body
        took_s = time.perf_counter() - self._asked_s
        if b"connection: close" in head.lower():
            self.connect()
        return took_s


def request(job: Requests, ready: Callable[[], None]) -> Outcome:
    """Ask until the time is over. The first error ends it: a rate with errors in it is no rate."""
    callers = [_Caller(job) for _ in range(job.clients)]
    waits_s: list[float] = []
    ready()
    started_s = time.perf_counter()
    errors: list[str] = []
    with select.epoll() as poller:
        by_number = {}
        for caller in callers:
            caller.ask()
            by_number[caller.socket.fileno()] = caller
            poller.register(caller.socket, select.EPOLLIN)
        while not errors and time.perf_counter() - started_s < job.seconds:
            for number, _ in poller.poll(_SILENT_S):
                caller = by_number[number]
                old = caller.socket
                try:
                    took_s = caller.read()
                    if took_s is not None:
                        waits_s.append(took_s)
                        caller.ask()
                except (OSError, BadAnswer) as error:
                    errors.append(str(error))
                    break
                if caller.socket is not old:  # closed by connect, which took it from the poller
                    del by_number[number]
                    by_number[caller.socket.fileno()] = caller
                    poller.register(caller.socket, select.EPOLLIN)
    seconds = time.perf_counter() - started_s
    for caller in callers:
        caller.socket.close()
    body = callers[0].body
    return Outcome(
        seconds=seconds,
        bodies=len(waits_s),
        body_bytes=len(waits_s) * len(body),
        waits_s=waits_s,
        errors=errors,
        sample=body.decode("utf-8", "replace"),
    )


def _connected(host: str, port: int) -> socket.socket:
    connection = socket.create_connection((host, port), timeout=_SILENT_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setblocking(False)
    return connection


def _request(path: str, host: str, port: int, headers: object) -> bytes:
    assert isinstance(headers, dict)
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}:{port}", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _parse(head: bytes) -> tuple[int, int]:
    """Status and Content-Length. Raises BadAnswer for an answer without a length: no server under test sends one."""
    low = head.lower()
    at = low.find(b"\r\ncontent-length:")
    if at < 0 or not low.startswith(b"http/1.1 "):
        raise BadAnswer(f"an answer without a length: {head[:80]!r}")
    return int(low[9:12]), int(low[at + 17 :].split(b"\r\n", 1)[0])


def _tell(document: object) -> None:
    sys.stdout.write((document if isinstance(document, str) else json.dumps(document)) + "\n")
    sys.stdout.flush()


def run(job: Job, ready: Callable[[], None]) -> Outcome:
    if job.cores:
        os.sched_setaffinity(0, job.cores)
    return download(job, ready) if isinstance(job, Downloads) else request(job, ready)


def main() -> None:
    """Read a job; say "ready" when all are connected; go on the next line."""
    began_s = 0.0

    def ready() -> None:
        nonlocal began_s
        _tell({"ready": True})
        sys.stdin.readline()
        began_s = time.process_time()

    outcome = run(parse_job(sys.stdin.readline()), ready)
    _tell(dump(replace(outcome, cpu_s=time.process_time() - began_s)))


if __name__ == "__main__":
    main()
