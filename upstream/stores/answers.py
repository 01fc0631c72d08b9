"""What an HTTP answer proves about the bytes behind it: decided from status and headers alone.

A part is believed only with proof that it is the part asked for, of the object whose beginning was read.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from upstream.errors import (
    DataNotFound,
    Denied,
    Invalid,
    NotSupported,
    Unavailable,
    Unproved,
    UpstreamError,
    WrongLength,
)
from upstream.retry import retry_after_s
from upstream.stores.validators import Seen

_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Wanted:
    """The bytes from `offset` up to `stop`, or to the end of the object."""

    offset: int
    stop: int | None = None

    @property
    def is_part(self) -> bool:
        return self.offset > 0 or self.stop is not None

    def headers(self, first: Seen | None) -> dict[str, str]:
        """Of the request. A range cannot be empty: for no bytes, the one that lies there is asked for."""
        if not self.is_part:
            return {}
        last = "" if self.stop is None else max(self.stop - 1, self.offset)
        condition = first.if_range if first is not None and self.offset else None
        return {"Range": f"bytes={self.offset}-{last}"} | ({"If-Range": condition} if condition else {})

    def stop_within(self, total_bytes: int) -> int:
        """Where the part that answers it ends."""
        return total_bytes if self.stop is None else min(max(self.stop, self.offset + 1), total_bytes)


@dataclass(frozen=True, slots=True)
class Body:
    """What was announced: bytes to pass over, then bytes to hand out (None: until the last chunk).

    `is_cut`: the body goes on after these, and that is right.
    """

    skip_bytes: int
    rest_bytes: int | None
    is_cut: bool = False

    @property
    def end(self) -> int | None:
        return None if self.rest_bytes is None else self.skip_bytes + self.rest_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The head of an answer of the store `store_id`. `headers` finds names in any case."""

    store_id: str
    status: int
    headers: Mapping[str, str]

    def seen(self, wanted: Wanted) -> Seen:
        """Which object it is.

        Raises what `refusal` says for a status that is no data; Invalid for a body that is encoded or has no provable
        end; Unproved for another part than asked for.
        """
        if self.status == 416 and wanted.is_part:
            return Seen(self.content_range()[2])  # the rest of the head is that of an error page
        self.check_plain()
        length_bytes = self.length_bytes()
        if self.status == 200:
            if length_bytes is None and self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                raise Invalid(f"{self.store_id} does not announce where the object ends")
            return Seen.of(length_bytes, self.headers)
        start, stop, total = self.content_range()
        if (start, stop) != (wanted.offset, wanted.stop_within(total)) or length_bytes not in {None, stop - start}:
            raise Unproved(self.store_id, f"it answered with another part than asked for, from byte {wanted.offset} on")
        return Seen.of(total, self.headers)

    def check_same(self, now: Seen, first: Seen) -> None:
        """Raises Unproved if this is not proved to be of the object whose `first` part was read."""
        if not first.admits(now, proof_needed=self.status != 416):
            raise Unproved(self.store_id, "the object changed since its first part was read")

    def body(self, wanted: Wanted, total_bytes: int | None, skip_max: int) -> Body:
        """What the body holds for someone who wants these bytes of an object so large.

        Raises WrongLength if the object ends before them; NotSupported if ranges are ignored and more than `skip_max`
        bytes would have to be passed over.
        """
        offset, stop = wanted.offset, wanted.stop
        if total_bytes is not None and max(offset, stop or 0) > total_bytes:
            raise WrongLength(max(offset, stop or 0), total_bytes)
        if self.status == 416:
            if offset != total_bytes:
                raise Unproved(self.store_id, f"it refused a part that exists, from byte {offset} on")
            return Body(0, 0, is_cut=True)
        skip_bytes = offset if self.status == 200 else 0  # a server that knows no ranges sends everything
        if skip_bytes > skip_max:
            raise NotSupported(f"{self.store_id} cannot read from byte {offset} on: the server ignores Range")
        end = total_bytes if stop is None else stop
        is_cut = stop is not None and (self.status == 200 or stop <= offset)
        return Body(skip_bytes, None if end is None else end - offset, is_cut)

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
        """First byte, the one after the last, and size of the object. Raises Unproved if it does not say."""
        match = _CONTENT_RANGE.fullmatch(self.headers.get("Content-Range", ""))
        if match is None:
            raise Unproved(self.store_id, f"its answer {self.status} does not say which part it is")
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
