"""Which form of an answer a client likes best. Pure. Source: RFC 9110, section 12.5.1; webob/acceptparse.py."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

_WORD = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_VALUE = rf'(?:{_WORD}|"(?:[^"\\]|\\.)*")'
_NEXT = r"[ \t]*;[ \t]*"
_WEIGHT = rf"{_NEXT}[qQ]=(?P<quality>0(?:\.\d{{0,3}})?|1(?:\.0{{0,3}})?)(?:{_NEXT}{_WORD}(?:={_VALUE})?)*"
# One media range, or nothing, and the comma behind it.
_PART = re.compile(
    rf"(?:(?P<range>{_WORD}/{_WORD})(?P<parameters>(?:{_NEXT}(?![qQ]=){_WORD}={_VALUE})*)(?:{_WEIGHT})?)?"
    r"[ \t]*(?:,[ \t]*|\Z)"
)


@dataclass(frozen=True, slots=True)
class _Range:
    kind: str
    has_parameters: bool
    quality: float

    def closeness(self, kind: str) -> int:
        """How closely it names `kind`, which has no parameters; 0 if it does not."""
        if self.kind == kind:
            return 0 if self.has_parameters else 3
        return {"*/*": 1, f"{kind.partition('/')[0]}/*": 2}.get(self.kind, 0)


def preferred(accept: str, kinds: Sequence[str]) -> str | None:
    """The kind of the highest quality, the first of equals; None if the client takes none of them, or says nothing.

    A header that is none counts for nothing: who sent it takes anything.
    """
    ranges = _parse(accept)
    if ranges is None:
        return kinds[0]
    best = max(kinds, key=lambda kind: _quality(ranges, kind))
    return best if _quality(ranges, best) > 0 else None


def _quality(ranges: Sequence[_Range], kind: str) -> float:
    """How much `kind` is liked: the closest range decides, the first of equals."""
    closest = max(ranges, key=lambda each: each.closeness(kind), default=None)
    return closest.quality if closest is not None and closest.closeness(kind) else 0.0


def _parse(accept: str) -> list[_Range] | None:
    """None for what is no list of media ranges."""
    ranges: list[_Range] = []
    text, at = accept.strip(" \t"), 0
    while at < len(text):
        match = _PART.match(text, at)
        if match is None:
            return None
        if match["range"] is not None:
            ranges.append(_Range(match["range"].lower(), bool(match["parameters"]), float(match["quality"] or 1)))
        at = match.end()
    return ranges
