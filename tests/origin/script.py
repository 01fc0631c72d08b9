"""What an origin is told to do wrong, and what it saw."""

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Literal

from tests.content import Content

BEFORE_HEAD = -1
POLL_S = 0.005


class Gate:
    """Holds answers at body byte `at` (-1: before the head) until `open`. May hold several answers at once."""

    def __init__(self, at: int = BEFORE_HEAD) -> None:
        self.at, self.limit = at, float(at)
        self.held = 0  # answers that wait here now; written by the origin's threads

    def __repr__(self) -> str:
        return f"Gate(at={self.at})"

    def open(self, to: float = float("inf")) -> None:
        """Let answers go on, to the end or up to body byte `to`."""
        self.limit = to

    async def reached(self, answers: int = 1, timeout_s: float = 30) -> None:
        """Wait until so many answers are held here."""
        async with asyncio.timeout(timeout_s):
            while self.held < answers:  # noqa: ASYNC110 - set from another thread
                await asyncio.sleep(POLL_S)

    def wait_reached(self, answers: int = 1, timeout_s: float = 30) -> None:
        """The same for tests without a loop."""
        deadline = time.monotonic() + timeout_s
        while self.held < answers:
            if time.monotonic() > deadline:
                raise TimeoutError
            time.sleep(POLL_S)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Fault:
    """What is wrong with one answer. Fields may be combined; all defaults together are a right answer.

    Positions count the body bytes of this answer, except `flip_at`, which is a place in the content.
    """

    method: str = "GET"  # a request by another method leaves this fault in the script
    refuse: bool = False  # reset the connection instead of an answer
    gate: Gate | None = None
    status: int | None = None  # this status; the body stays unless it is 200 or 206
    headers: Mapping[str, str] = field(default_factory=dict)  # beside, or instead of, the right ones
    redirect: str | None = None  # 302 (or `status`) to this URL
    cut_at: int | None = None  # end the connection after so many bytes
    reset: bool = False  # ... by RST instead of FIN
    rate_bytes_s: int | None = None
    ignore_range: bool = False  # 200 and everything
    length_off: int = 0  # added to Content-Length; the body stays as it is and the connection ends after it
    framing: Literal["length", "chunked", "close"] = "length"
    gzip: bool = False  # Content-Encoding: gzip, whatever was accepted
    flip_at: int | None = None  # flip a bit of the byte at this place of the content
    etag: str | None = None  # instead of the content's own; "": none
    modified: str | None = None  # Last-Modified
    ignore_if_range: bool = False  # the part that was asked for, whatever it is a part of

    def __repr__(self) -> str:
        """Only what is wrong, so that it can be read as the name of a test."""
        values = ((one.name, getattr(self, one.name), one.default) for one in fields(self))
        wrong = [f"{name}={value!r}" for name, value, default in values if value not in (default, {})]
        return f"Fault({', '.join(wrong)})"


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    target: str
    headers: Mapping[str, str]  # names in lower case
    at_s: float = field(default_factory=time.monotonic)  # when its head had come


@dataclass(slots=True)
class Counts:
    """What was asked of one content. `sent_bytes` are body bytes given to the kernel.

    Whatever a client has received is counted by then; that it went away, or that an answer is over, a moment later.
    """

    gets: int = 0
    heads: int = 0
    sent_bytes: int = 0
    aborted: int = 0  # answers whose client went before their end
    at_once: int = 0
    ending: int = 0  # of these: answers of which only the last bytes are on their way
    at_once_max: int = 0  # answers at once, without those that are ending
    requests: list[Request] = field(default_factory=list)

    @property
    def ranges(self) -> list[str | None]:
        """The Range header of each GET."""
        return [request.headers.get("range") for request in self.requests if request.method == "GET"]


@dataclass(slots=True)
class Entry:
    content: Content
    script: deque[Fault] = field(default_factory=deque)
    always: Fault | None = None
    counts: Counts = field(default_factory=Counts)

    def next_fault(self, method: str) -> Fault:
        for fault in self.script:
            if fault.method == method:
                self.script.remove(fault)
                return fault
        return self.always if self.always and self.always.method == method else Fault()
