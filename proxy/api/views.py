"""Images as JSON, key for key in Glance's order. Pure.

Source: glance/api/v2/images.py, ResponseSerializer.
"""

import re
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

from upstream.registry import HASH_HOST, STAGE_HOST
from upstream.types import Image, Location, Member

_REPEATABLE = frozenset({"tag", "sort", "sort_key", "sort_dir"})
HIDDEN_PROPERTIES = frozenset({STAGE_HOST, HASH_HOST})

_PLAIN = re.compile(r"[A-Za-z0-9_.~-]*")  # what `quote` leaves as it is, and takes its time for
_SECONDS = len("2026-01-01T00:00:00")


def image_view(
    image: Image,
    *,
    show_locations: bool = False,
    show_direct_url: bool = False,
    rank: Callable[[Location], int] = lambda _: 0,
    custom: Container[str] = (),
) -> dict[str, Any]:
    """`rank` is the weight of a location's store: the heaviest gives the direct URL, of equals the first.

    `custom` are the properties that the operator's schema describes: only those are shown as null.
    """
    view: dict[str, Any] = {
        name: "" if value is None and name not in custom else value
        for name, value in image.properties.items()
        if name not in HIDDEN_PROPERTIES
    }
    view["name"] = image.name
    view["disk_format"] = image.disk_format
    view["container_format"] = image.container_format
    view["visibility"] = image.visibility
    view["size"] = image.size_bytes
    view["virtual_size"] = image.virtual_size_bytes
    view["status"] = image.status
    view["checksum"] = image.checksum
    view["protected"] = image.protected
    view["min_ram"] = image.min_ram_mib
    view["min_disk"] = image.min_disk_gib
    view["owner"] = image.owner
    view["os_hidden"] = image.os_hidden
    view["os_hash_algo"] = image.os_hash_algo
    view["os_hash_value"] = image.os_hash_value
    view["id"] = image.id
    view["created_at"] = timestamp(image.created_at)
    view["updated_at"] = timestamp(image.updated_at)
    if show_locations:
        view["locations"] = locations_view(image.locations)
    if show_direct_url and image.locations:
        view["direct_url"] = max(image.locations, key=rank).url
    view["tags"] = list(image.tags)
    view["self"] = path = image_path(image.id)
    view["file"] = f"{path}/file"
    view["schema"] = "/v2/schemas/image"
    stores = [location.metadata.get("store") for location in image.locations]
    if named := [store for store in stores if store and isinstance(store, str)]:
        view["stores"] = ",".join(named)
    return view


def locations_view(locations: Iterable[Location]) -> list[dict[str, Any]]:
    return [{"url": location.url, "metadata": dict(location.metadata)} for location in locations]


def member_view(member: Member) -> dict[str, Any]:
    return {
        "member_id": member.project_id,
        "image_id": member.image_id,
        "status": member.status,
        "created_at": timestamp(member.created_at),
        "updated_at": timestamp(member.updated_at),
        "schema": "/v2/schemas/member",
    }


def member_list_view(members: Iterable[Member]) -> dict[str, Any]:
    return {"members": [member_view(member) for member in members], "schema": "/v2/schemas/members"}


def list_view(
    views: Sequence[Mapping[str, Any]], parameters: Sequence[tuple[str, str]], *, next_marker: str | None
) -> dict[str, Any]:
    """A page of a list. `parameters` are those of the request, all of which the links repeat but the marker.

    Of a repeated parameter the links have what was looked for: the last value, or all where all count.
    """
    kept: dict[str, list[str]] = {}
    for name, value in parameters:
        if name in _REPEATABLE:
            kept.setdefault(name, []).append(value)
        elif name != "marker":
            kept[name] = [value]
    page: dict[str, Any] = {"images": list(views), "first": _link(kept), "schema": "/v2/schemas/images"}
    if next_marker is not None:
        page["next"] = _link({**kept, "marker": [next_marker]})
    return page


def _link(parameters: Mapping[str, Sequence[str]]) -> str:
    return f"/v2/images?{urlencode(parameters, doseq=True)}" if parameters else "/v2/images"


def image_path(image_id: str) -> str:
    return f"/v2/images/{image_id if _PLAIN.fullmatch(image_id) else quote(image_id)}"


def timestamp(moment: datetime) -> str:
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return f"{moment.isoformat()[:_SECONDS]}Z"
