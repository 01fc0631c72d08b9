"""What Glance's JSON says of an image. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from upstream.types import Image, Location, Status

_UNKNOWN = datetime(1970, 1, 1, tzinfo=UTC)


def image_of(document: Any, *, with_locations: bool = False) -> Image | None:
    """The image as far as its bytes are concerned; None for what is no image of Glance's.

    Where Glance shows them, `locations` are all that there are; `direct_url` is the first of them.
    """
    if not isinstance(document, Mapping):
        return None
    image_id, status, size = document.get("id"), document.get("status"), document.get("size")
    if not isinstance(image_id, str) or status not in set(Status) or not (size is None or _is_size(size)):
        return None
    return Image(
        id=image_id,
        created_at=_UNKNOWN,
        updated_at=_UNKNOWN,
        name=_text(document, "name"),
        status=Status(status),
        size_bytes=size,
        checksum=_text(document, "checksum"),
        os_hash_algo=_text(document, "os_hash_algo"),
        os_hash_value=_text(document, "os_hash_value"),
        owner=_text(document, "owner"),
        locations=_locations(document) if with_locations else (),
    )


def _locations(document: Mapping[str, Any]) -> tuple[Location, ...]:
    shown = document.get("locations")
    if not isinstance(shown, list):
        shown = [{"url": document.get("direct_url")}]
    return tuple(
        Location(url=one["url"], metadata=metadata if isinstance(metadata := one.get("metadata"), Mapping) else {})
        for one in shown
        if isinstance(one, Mapping) and isinstance(one.get("url"), str)
    )


def _text(document: Mapping[str, Any], name: str) -> str | None:
    value = document.get(name)
    return value if isinstance(value, str) else None


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
