"""`glint prewarm --dry-run`: what would be fetched, and whether there is room."""

import json
from collections.abc import Sequence
from enum import StrEnum

import typer

from cache import CacheState, CacheStatus, charge_bytes
from proxy.commands.node import CacheUsage, ImageInfo, Node
from proxy.commands.text import plural, size_text


class Room(StrEnum):
    """`EVICTING`: there is room once images that are older in use have gone."""

    FREE = "free"
    EVICTING = "evicting"
    NONE = "none"


_ADVICE = {
    Room.FREE: "they fit",
    Room.EVICTING: "they fit once the least recently used images are evicted",
    Room.NONE: "they do not fit: choose fewer, or raise cache.size_max",
}


def room_for(wanted: Sequence[tuple[ImageInfo, CacheStatus]], usage: CacheUsage) -> Room:
    """Whether all these images can be cached at the same time."""
    charges = [
        (charge_bytes(image.size_bytes or 0), status.state)
        for image, status in wanted
        if status.state is not CacheState.LOCAL
    ]
    if sum(charge for charge, _ in charges) > usage.limit_bytes:
        return Room.NONE
    missing = sum(charge for charge, state in charges if state in {CacheState.ABSENT, CacheState.FAILED})
    return Room.FREE if missing <= usage.free_bytes else Room.EVICTING


async def forecast(node: Node, images: Sequence[ImageInfo], *, as_json: bool) -> bool:
    """Print it, and say whether all images can be cached. Raises NoAnswer, Refused."""
    usage = await node.usage()
    wanted = [(image, await node.status(image.id)) for image in images]
    room = room_for(wanted, usage)
    for image, status in wanted:
        _print_image(node, image, status, as_json=as_json)
    if not as_json:
        missing = sum(_missing_bytes(image, status) for image, status in wanted)
        typer.echo(
            f"{node.url}: {size_text(missing)} of {plural(len(images), 'image')} would be fetched; "
            f"{size_text(usage.free_bytes)} of {size_text(usage.limit_bytes)} are free: {_ADVICE[room]}"
        )
    return room is not Room.NONE


def _print_image(node: Node, image: ImageInfo, status: CacheStatus, *, as_json: bool) -> None:
    missing = _missing_bytes(image, status)
    if as_json:
        document = {"node": node.url, "id": image.id, "name": image.name, "state": status.state}
        typer.echo(json.dumps(document | {"size_bytes": image.size_bytes, "fetch_bytes": missing}))
        return
    name = f"{image.name} ({image.id})" if image.name else image.id
    would = f"{size_text(missing)} would be fetched" if missing else f"{status.state}, nothing to fetch"
    typer.echo(f"{name}: {would}")


def _missing_bytes(image: ImageInfo, status: CacheStatus) -> int:
    if status.state in {CacheState.CACHED, CacheState.VERIFYING, CacheState.LOCAL}:
        return 0
    return max(0, (image.size_bytes or 0) - status.present_bytes)
