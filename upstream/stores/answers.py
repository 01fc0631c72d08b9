"""What an HTTP answer proves about the bytes behind it: decided from status and headers alone.

A part is believed only with proof that it is the part asked for, of the object whose beginning was read.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from upstream.errors import DataNotFound, Denied, Invalid, NotSupported, Unavailable, UpstreamError, WrongLength
from upstream.retry import retry_after_s

_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Body:
    """What was announced: bytes to pass over, then bytes to hand out (None: until the last chunk)."""

    skip_bytes: int
    rest_bytes: int | None

    @property
    def end(self) -> int | None:
        return None if self.rest_bytes is None else self.skip_bytes + self.rest_bytes


@dataclass(frozen=True, slots=True)
class Seen:
    """What tells one object from another that is served in its place later."""

    total_bytes: int | None
    etag: str | None

    def contradicts(self, other: "Seen") -> bool:
        pairs = ((self.total_bytes, other.total_bytes), (self.etag, other.etag))
        return any(one != another for one, another in pairs if one is not None and another is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The head of an answer of the store `store_id`. `headers` finds names in any case."""

    store_id: str
    status: int
    headers: Mapping[str, str]

    def body(self, offset: int, skip_max: int) -> tuple[Body, Seen]:
        """What the body holds for someone who wants the object from `offset` on.

        Raises what `refusal` says for a status that is no data; Invalid for a body that is encoded or has no provable
        end; Unavailable for another part than asked for; WrongLength if the object ends before `offset`; NotSupported
        if ranges are ignored and more than `skip_max` bytes would have to be passed over.
        """
        etag = self.headers.get("ETag")
        if self.status == 416 and offset:
            return self._at_end(offset), Seen(offset, etag)
        self.check_plain()
        length_bytes = self.length_bytes()
        if self.status == 200:
            if length_bytes is None and self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                raise Invalid(f"{self.store_id} does not announce where the object ends")
            return self._all(offset, length_bytes, skip_max), Seen(length_bytes, etag)
        start, stop, total = self.content_range()
        if (start, stop) != (offset, total) or length_bytes not in {None, total - offset}:
            raise Unavailable(self.store_id, f"it answered with another part than asked for, from byte {offset} on")
        return Body(0, total - offset), Seen(total, etag)

    def _at_end(self, offset: int) -> Body:
        total = self.content_range()[2]
        if offset != total:
            raise WrongLength(offset, total)
        return Body(0, 0)

    def _all(self, offset: int, length_bytes: int | None, skip_max: int) -> Body:
        """A server that knows no ranges sends everything: what comes before `offset` has to be dropped."""
        if offset > skip_max:
            raise NotSupported(f"{self.store_id} cannot read from byte {offset} on: the server ignores Range")
        if length_bytes is not None and length_bytes < offset:
            raise WrongLength(offset, length_bytes)
        return Body(offset, None if length_bytes is None else length_bytes - offset)

    def check_plain(self) -> None:
        """Raises Invalid if the body is compressed: its length and digest would not be the image's."""
        if self.headers.get("Content-Encoding", "").lower() not in {"", "identity"}:
            raise Invalid(f"{self.store_id} sends the object encoded, though it was asked not to")

    def length_bytes(self) -> int | None:
        """Content-Length, None if it is not there. Raises Unavailable if it is no number."""
        length = self.headers.get("Content-Length")
        if length is not None and not (length.isascii() and length.isdigit()):
            raise Unavailable(self.store_id, "its Content-Length is no number")
        return None if length is None else int(length)

    def content_range(self) -> tuple[int, int, int]:
        """First byte, the one after the last, and size of the object. Raises Unavailable if it does not say."""
        match = _CONTENT_RANGE.fullmatch(self.headers.get("Content-Range", ""))
        if match is None:
            raise Unavailable(self.store_id, f"its answer {self.status} does not say which part it is")
        return int(match[1] or 0), int(match[2] or -1) + 1, int(match[3])

    def refusal(self, now: datetime) -> UpstreamError:
        """The error for a status that is not what a good answer has."""
        match self.status:
            case 404 | 410:
                return DataNotFound(self.store_id)
            case 401 | 403 | 407:
                return Denied(f"{self.store_id} refused to hand out the object ({self.status})")
            case status if status in {408, 425, 429} or status >= 500:
                wait_s = retry_after_s(self.headers.get("Retry-After"), now)
                return Unavailable(self.store_id, f"it answered {status}", wait_s)
            case status:
                return Invalid(f"{self.store_id} answered {status}, which is no image")
