"""How a request to the registry service proves that its sender has the key, and the answer that it answers it. Pure.

A request is signed with what it does (method, path, digest of the body), on whose behalf (the identity headers), for
which process (its audience), when, and under which number. The number of a line, which is one connection of a client,
only ever grows; so nothing that was seen on the network is done a second time, by this process or another.
"""

import hashlib
import hmac
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from upstream.registry.wire.identity import HEADERS as IDENTITY_HEADERS

AUDIENCE = "X-Glint-Audience"
TIME = "X-Glint-Time"  # milliseconds since 1970
NUMBER = "X-Glint-Number"
DIGEST = "X-Glint-Body-Sha256"
SIGNATURE = "X-Glint-Signature"

WINDOW_S = 60.0  # two clocks may differ by so much, and a request take so long
LINES_MAX = 100_000
_SCHEME = "glint-registry-1"
_NUMBER = re.compile(r"([0-9a-f]{32})\.([0-9]{1,18})")
_TIME = re.compile(r"[0-9]{1,15}")
_SIGNED = (AUDIENCE, TIME, NUMBER, DIGEST, *IDENTITY_HEADERS)


class Refused(Exception):
    """A request that is not answered. `reason` is one word for metrics and logs."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Mistaken(Refused):
    """Refused, though its sender has the key: `told` is for him, and nothing of the request was done."""

    def __init__(self, reason: str, sealed: "Sealed", **told: Any) -> None:
        super().__init__(reason)
        self.sealed, self.told = sealed, {"refused": reason, **told}


@dataclass(frozen=True, slots=True)
class Sealed:
    """A request that bears a good signature: what its answer is signed with, and the digest that its body must have."""

    key: bytes
    signature: str
    digest: str

    def check_body(self, body: bytes) -> None:
        """Raises Refused."""
        if not hmac.compare_digest(digest_of(body), self.digest):
            raise Refused("body")

    def seal(self, status: int, body: bytes) -> str:
        """The signature of the answer: of no other request's."""
        return _mac(self.key, ("answer", self.signature, str(status), digest_of(body)))


@dataclass(slots=True)
class Line:
    """What a client counts its requests by, one after the other; and the process that answered the last one."""

    id: str
    number: int = 0
    audience: str = ""

    def sign(
        self, key: bytes, path: str, body: bytes, identity: Mapping[str, str], now_s: float
    ) -> tuple[Mapping[str, str], Sealed]:
        """The headers of the next request, and what its answer has to be signed by."""
        self.number += 1
        digest = digest_of(body)
        headers = {
            **identity,
            AUDIENCE: self.audience,
            TIME: str(int(now_s * 1000)),
            NUMBER: f"{self.id}.{self.number}",
            DIGEST: digest,
        }
        signature = _mac(key, _parts(path, headers))
        return {**headers, SIGNATURE: signature}, Sealed(key, signature, digest)


class Gate:
    """Who gets in to one process of the service: whoever has one of the keys, each time anew."""

    def __init__(self, keys: Sequence[bytes], audience: str, *, lines_max: int = LINES_MAX) -> None:
        self._keys, self._audience = keys, audience
        self._lines = Lines(lines_max)

    def admit(self, path: str, headers: "Headers", now_s: float) -> Sealed:
        """Raises Refused, and then the sender must learn no more than that; Mistaken to one who has the key."""
        sealed = self._sealed(path, headers)
        sent_ms = int(headers.one[TIME])
        late_s = now_s - sent_ms / 1000
        if abs(late_s) > WINDOW_S:
            raise Mistaken("clock", sealed, late_s=round(late_s, 1), window_s=WINDOW_S)
        if headers.one[AUDIENCE] != self._audience:
            raise Mistaken("audience", sealed, audience=self._audience)
        match = _NUMBER.fullmatch(headers.one[NUMBER])
        assert match is not None  # `Headers` has looked
        if not self._lines.goes_on(match[1], int(match[2]), sent_ms, now_s):
            raise Mistaken("replayed", sealed)
        return sealed

    def _sealed(self, path: str, headers: "Headers") -> Sealed:
        parts, signature = _parts(path, headers.one), headers.one[SIGNATURE]
        found = [key for key in self._keys if hmac.compare_digest(_mac(key, parts).encode(), signature.encode())]
        if not found:
            raise Refused("signature")
        return Sealed(found[0], signature, headers.one[DIGEST])


class _Heard(NamedTuple):
    number: int
    sent_ms: int
    at_s: float


@dataclass(frozen=True, slots=True)
class Headers:
    """Those that count, each there at most once, and written as we write them."""

    one: Mapping[str, str]

    @classmethod
    def read(cls, pairs: Sequence[tuple[str, str]]) -> Self:
        """Raises Refused."""
        wanted = {name.lower(): name for name in (*_SIGNED, SIGNATURE)}
        found: dict[str, str] = {}
        for header, value in pairs:
            name = wanted.get(header.lower())
            if name in found:
                raise Refused("malformed")
            if name is not None:
                found[name] = value
        if SIGNATURE not in found:
            raise Refused("unsigned")
        is_whole = AUDIENCE in found and DIGEST in found and all(value.isascii() for value in found.values())
        if not (is_whole and _NUMBER.fullmatch(found.get(NUMBER, "")) and _TIME.fullmatch(found.get(TIME, ""))):
            raise Refused("malformed")
        return cls(found)


class Lines:
    """The highest number of each line, kept for as long as an older request could still be in time.

    A line that is forgotten is no hole: of lines that are not known nothing is taken that was sent before a forgotten
    one's last request. So it may be forgotten at any moment, and a clock that is set back opens nothing.
    """

    def __init__(self, lines_max: int) -> None:
        self._lines_max = lines_max
        self._last: OrderedDict[str, _Heard] = OrderedDict()  # the one that was silent longest comes first
        self._forgotten_ms = 0

    def __len__(self) -> int:
        return len(self._last)

    def goes_on(self, line: str, number: int, sent_ms: int, now_s: float) -> bool:
        """Take note of the number; False if it cannot be one that comes next."""
        self._forget(now_s)
        before = self._last.get(line)
        if sent_ms <= self._forgotten_ms if before is None else number <= before.number:
            return False
        self._last[line] = _Heard(number, sent_ms, now_s)
        self._last.move_to_end(line)
        return True

    def _forget(self, now_s: float) -> None:
        while self._last:
            line, heard = next(iter(self._last.items()))
            if len(self._last) < self._lines_max and now_s - heard.at_s <= 2 * WINDOW_S:
                return
            del self._last[line]
            self._forgotten_ms = max(self._forgotten_ms, heard.sent_ms)


def digest_of(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _parts(path: str, headers: Mapping[str, str]) -> tuple[str, ...]:
    return ("POST", path, *(f"{name}:{headers[name]}" if name in headers else name for name in _SIGNED))


def _mac(key: bytes, parts: Sequence[str]) -> str:
    """No part has a line's end in it: neither paths nor headers do."""
    return hmac.digest(key, "\n".join((_SCHEME, *parts)).encode(), "sha256").hex()
