"""What a relay is told to do wrong, on which requests, and what it saw."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Literal

from tests.content import Content
from tests.origin.script import Gate

__all__ = ["Fault", "Gate", "Rule", "Seen"]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Fault:
    """What is wrong with one exchange. Fields may be combined; all defaults together are one that goes well.

    Positions count the bytes of a body without the marks of its chunks, except `flip_at`, a place in the object.
    """

    refuse: bool = False  # reset the connection; the server sees nothing of the request
    status: int | None = None  # answer with this and `body` at once; the server sees nothing
    body: bytes = b""
    redirect: str | None = None  # 302 (or `status`) to this URL; the server sees nothing
    headers: Mapping[str, str] = field(default_factory=dict)  # beside, or instead of, those of the answer
    take: int | None = None  # end both connections when so much of the request's body has passed
    lose_answer: bool = False  # the server does it all, and the connection ends instead of its answer
    gate: Gate | None = None  # holds the answer, whosever it is
    cut_at: int | None = None  # end the connection after so much of the answer's body
    reset: bool = False  # ... by RST instead of FIN; so with `take` and `lose_answer`
    rate_bytes_s: int | None = None  # of the answer's body
    whole: Content | None = None  # Range is ignored: 200 and all of this
    length_off: int = 0  # added to Content-Length; the body stays as it is and the connection ends after it
    framing: Literal["as it is", "chunked", "close"] = "as it is"
    flip_at: int | None = None  # flip a bit of the byte at this place of the object
    etag: str | None = None  # instead of the server's

    def __repr__(self) -> str:
        """Only what is wrong, so that it can be read as the name of a test."""
        values = ((one.name, getattr(self, one.name), one.default) for one in fields(self))
        wrong = [f"{name}={value!r}" for name, value, default in values if value not in (default, {})]
        return f"Fault({', '.join(wrong)})"

    @property
    def is_passed_on(self) -> bool:
        """Whether the server sees the request."""
        return not self.refuse and self.status is None and self.redirect is None

    @property
    def changes_answer(self) -> bool:
        """Whether the server's answer does not go through as it came."""
        return self not in (Fault(), Fault(take=self.take), Fault(gate=self.gate, take=self.take))


@dataclass(slots=True)
class Rule:
    """A fault for requests of one method whose target, path and query, holds what `pattern` says.

    The first `skip` of them go well, then `times` of them (None: all) do not. `made` counts how often that was.
    """

    method: str
    pattern: re.Pattern[str]
    fault: Fault
    skip: int = 0
    times: int | None = 1
    met: int = 0
    made: int = 0

    def meets(self, method: str, target: str) -> bool:
        """Counts the request, and says whether it is this rule's to fail."""
        if method != self.method or not self.pattern.search(target):
            return False
        self.met += 1
        return self.met > self.skip and (self.times is None or self.met <= self.skip + self.times)


@dataclass(slots=True)
class Seen:
    """One exchange. `status` is what the client was told, 0 if nothing; bytes are those of the two bodies."""

    method: str
    target: str
    headers: Mapping[str, str]  # names in lower case
    fault: Fault
    status: int = 0
    taken_bytes: int = 0
    sent_bytes: int = 0
