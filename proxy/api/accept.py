"""Which form of an answer a client likes best. Pure. Source: RFC 9110, section 12.5.1; webob/acceptparse.py."""

from collections.abc import Sequence


def preferred(accept: str, kinds: Sequence[str]) -> str | None:
    """The kind of the highest quality, the first of equals; None if the client takes none of them, or says nothing."""
    qualities = {kind: max((_quality(part, kind) for part in accept.split(",")), default=(0, 0.0)) for kind in kinds}
    best = max(kinds, key=lambda kind: qualities[kind][1])
    return best if qualities[best][1] > 0 else None


def _quality(part: str, kind: str) -> tuple[int, float]:
    """How closely one part of Accept names `kind`, and how much it is liked. The closest part decides."""
    media_range, *parameters = (piece.strip().lower() for piece in part.split(";"))
    closeness = {"*/*": 1, f"{kind.partition('/')[0]}/*": 2, kind: 3}.get(media_range, 0)
    quality = next((parameter[2:] for parameter in parameters if parameter.startswith("q=")), "1")
    try:
        return (closeness, float(quality) if closeness else 0.0)
    except ValueError:
        return (closeness, 0.0)
