"""Small answers, asked for as fast as they come or at a pace."""

import select
import socket
import time
from collections import deque
from collections.abc import Callable

from bench.connection import HEAD_MAX_BYTES, SILENT_S, BadAnswer, connected, get, parse_head
from bench.load import Outcome, Requests

_UNUSUAL_S = 1.0  # who waits longer than this when the time is over enters with the time so far


class _Caller:
    """One connection with one small request under way at a time; made anew when the server closes it."""

    def __init__(self, job: Requests) -> None:
        self._job = job
        self._request = get(job.path, job.host, job.port, job.headers)
        self._got, self._asked_s = b"", 0.0
        self.body = b""
        self.socket = socket.socket()
        self.connect()

    def connect(self) -> None:
        self.socket.close()
        self.socket = connected(self._job.host, self._job.port)

    def ask(self) -> None:
        self._got, self._asked_s = b"", time.perf_counter()
        self.socket.sendall(self._request)

    @property
    def waited_s(self) -> float:
        return time.perf_counter() - self._asked_s

    def read(self) -> float | None:
        """Seconds that the answer took if it is whole now. Raises OSError, BadAnswer."""
        got = self.socket.recv(HEAD_MAX_BYTES)
        if not got:
            raise BadAnswer("closed before an answer")
        self._got += got
        head, end, body = self._got.partition(b"\r\n\r\n")
        if not end:
            return None
        status, length = parse_head(head)
        if len(body) < length:
            return None
        if status != 200 or (self.body and body != self.body):
            raise BadAnswer(f"status {status}, or another answer than before")
        self.body = body
        took_s = self.waited_s
        if b"connection: close" in head.lower():
            self.connect()
        return took_s


def request(job: Requests, ready: Callable[[], None]) -> Outcome:
    """Ask until the time is over. The first error ends it: a rate with errors in it is no rate."""
    callers = [_Caller(job) for _ in range(job.clients)]
    waits_s: list[float] = []
    ready()
    time.sleep(job.delay_s)
    started_s = time.perf_counter()
    errors = _drive(job, callers, started_s, waits_s)
    seconds = time.perf_counter() - started_s
    # Where nobody was answered, how long they wait is all that can be told.
    waiting = [caller.waited_s for caller in callers if caller.waited_s > _UNUSUAL_S or not waits_s]
    for caller in callers:
        caller.socket.close()
    body = callers[0].body
    return Outcome(
        seconds=seconds,
        bodies=len(waits_s),
        body_bytes=len(waits_s) * len(body),
        waits_s=waits_s + waiting,
        unanswered=len(waiting),
        errors=errors,
        sample=body.decode("utf-8", "replace"),
    )


def _drive(job: Requests, callers: list[_Caller], started_s: float, waits_s: list[float]) -> list[str]:
    resting: deque[tuple[float, _Caller]] = deque()  # until when, soonest first: all pauses are equal
    with select.epoll() as poller:
        by_number = {}
        for caller in callers:
            caller.ask()
            by_number[caller.socket.fileno()] = caller
            poller.register(caller.socket, select.EPOLLIN)
        while (left_s := job.seconds - (time.perf_counter() - started_s)) > 0:
            while resting and resting[0][0] <= time.perf_counter():
                resting.popleft()[1].ask()
            rest_s = resting[0][0] - time.perf_counter() if resting else SILENT_S
            for number, _ in poller.poll(max(0, min(left_s, rest_s, SILENT_S))):
                caller = by_number[number]
                old = caller.socket
                try:
                    took_s = caller.read()
                    if took_s is not None:
                        waits_s.append(took_s)
                        resting.append((time.perf_counter() + job.pause_s, caller))
                except (OSError, BadAnswer) as error:
                    return [str(error)]
                if caller.socket is not old:  # closed by connect, which took it from the poller
                    del by_number[number]
                    by_number[caller.socket.fileno()] = caller
                    poller.register(caller.socket, select.EPOLLIN)
    return []
