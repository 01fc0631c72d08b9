"""Which part of an image a client asks for. Pure."""

import re
from collections.abc import Mapping

from cache import Span
from proxy.errors import BadRequest, RangeNotSatisfiable

_RANGE = re.compile(r"bytes *= *([0-9]*) *- *([0-9]*)", re.IGNORECASE)
_CONTENT_RANGE = re.compile(r"bytes ([0-9]+)-([0-9]+)/([0-9]+|\*)")


def parse(headers: Mapping[str, str], size_bytes: int) -> Span | None:
    """The part of the image that is asked for; None for the whole image, which is then answered with 200.

    Range wins over Content-Range, which Glance still accepts in requests of old clients. A last position beyond the
    end is cut to the end, and so is a suffix longer than the image. What follows a readable range is passed over.
    With If-Range a Range is passed over, whatever it says: no answer of ours names a validator, so none can match.
    Raises BadRequest for several ranges, RangeNotSatisfiable for a range that cannot be read or lies outside.
    Source: RFC 9110, sections 13.1.5 and 14.2; glance/common/wsgi.py, get_range_from_request.
    """
    if (asked := headers.get("Range")) is not None:
        return None if "If-Range" in headers else _from_range(asked, size_bytes)
    if (legacy := headers.get("Content-Range")) is not None:
        return _from_content_range(legacy, size_bytes)
    return None


def _from_range(value: str, size_bytes: int) -> Span:
    if "," in value:
        raise BadRequest("Several ranges in one request are not supported: ask for them one by one.")
    match = _RANGE.match(value)
    if match is None or match.groups() == ("", ""):
        raise RangeNotSatisfiable(f"Cannot read the Range header {value!r}: write bytes=first-last.", size_bytes)
    first, last = match.groups()
    if not first:
        return _suffix(_position(last), size_bytes)
    start = _position(first)
    stop = _position(last) + 1 if last else size_bytes
    if stop <= start:
        if last:
            raise RangeNotSatisfiable(f"The range {value!r} ends before it starts.", size_bytes)
        raise _outside(start, size_bytes)
    if start >= size_bytes:
        raise _outside(start, size_bytes)
    return Span(start, min(stop, size_bytes))


def _suffix(length: int, size_bytes: int) -> Span:
    """The last `length` bytes. None of them means all of them: Glance takes -0 for 0."""
    if size_bytes == 0:
        raise RangeNotSatisfiable("The image is empty, so it has no part to send.", size_bytes)
    return Span(max(0, size_bytes - (length or size_bytes)), size_bytes)


def _from_content_range(value: str, size_bytes: int) -> Span:
    match = _CONTENT_RANGE.match(value)
    if match is None:
        message = f"Cannot read the Content-Range header {value!r}: write bytes first-last/size."
        raise RangeNotSatisfiable(message, size_bytes)
    start, stop = _position(match[1]), _position(match[2]) + 1
    if match[3] != "*" and stop > _position(match[3]):
        raise RangeNotSatisfiable(f"The Content-Range {value!r} contradicts itself.", size_bytes)
    if stop <= start or start >= size_bytes or stop > size_bytes:
        raise _outside(start, size_bytes)
    return Span(start, stop)


def _position(digits: str) -> int:
    # Beyond 20 digits lies no byte of any image, and int() refuses to read thousands of them.
    return int(digits) if len(digits) <= 20 else 10**20


def _outside(start: int, size_bytes: int) -> RangeNotSatisfiable:
    message = f"The range starts at byte {start} and must lie within an image of {size_bytes} bytes."
    return RangeNotSatisfiable(message, size_bytes)
