"""What tells one object from another that is served in its place later. Source: RFC 9110, sections 8.8, 13.1.5, 15.3.7.

A strong entity tag proves that two parts are of the same bytes, and is asked for by If-Range. A weak tag or a date
proves less: a server may change bytes under it, so parts with the same one are taken, parts with another are not, and
the digest of the whole has the last word.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

_WEAK = "W/"


@dataclass(frozen=True, slots=True)
class Seen:
    """One answer's word on the object. `dated_safely`: `modified` may stand for its bytes, by RFC 9110, 8.8.2.2."""

    total_bytes: int | None
    etag: str | None = None
    modified: str | None = None
    dated_safely: bool = False

    @classmethod
    def of(cls, total_bytes: int | None, headers: Mapping[str, str]) -> "Seen":
        modified = headers.get("Last-Modified")
        return cls(total_bytes, headers.get("ETag"), modified, _is_older(modified, headers.get("Date")))

    @property
    def has_strong_etag(self) -> bool:
        return self.etag is not None and not self.etag.startswith(_WEAK)

    @property
    def if_range(self) -> str | None:
        """What If-Range may carry: a strong tag; a date only where there is no tag at all, and it is old enough."""
        if self.etag is not None:
            return self.etag if self.has_strong_etag else None
        return self.modified if self.dated_safely else None

    def admits(self, later: "Seen", *, proof_needed: bool) -> bool:
        """Whether `later` may be a part of the same object. `proof_needed`: a strong tag has to come again."""
        if None not in (self.total_bytes, later.total_bytes) and self.total_bytes != later.total_bytes:
            return False
        if self.has_strong_etag:
            return later.etag == self.etag or (later.etag is None and not proof_needed)
        if None not in (self.etag, later.etag) and _opaque(self.etag) != _opaque(later.etag):
            return False
        return None in (self.modified, later.modified) or self.modified == later.modified


def _opaque(etag: str | None) -> str:
    return (etag or "").removeprefix(_WEAK)


def _is_older(modified: str | None, date: str | None) -> bool:
    """Whether the object was a second old when the answer was made: no second change can hide behind the same date."""
    if modified is None or date is None:
        return False
    try:
        return (parsedate_to_datetime(date) - parsedate_to_datetime(modified)).total_seconds() >= 1
    except (ValueError, TypeError):  # no date; or only one of them says in which zone
        return False
