"""`glint cache`: look into the disk cache and take things out of it, through the running Glint or on its folder."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import typer

from cache import CacheStatus
from proxy.commands import tables
from proxy.commands.errors import NotChosen
from proxy.commands.node import CachedImage, ImageInfo
from proxy.commands.numbers import fetch_numbers
from proxy.commands.pins import pin, unpin
from proxy.commands.places import Options, Place, open_places
from proxy.commands.text import plural, print_json, size_text
from proxy.commands.verification import verify
from proxy.config import Config


async def _list(config: Config, options: Options, environment: Mapping[str, str]) -> bool:
    async with open_places(config, options, environment) as places:
        for place in places:
            cached, queued = await place.holder.entries()
            names = await place.names() if cached or queued else {}
            if options.as_json:
                for entry in cached:
                    print_json({"node": place.where, "name": names.get(entry.id)} | asdict(entry))
            else:
                _title(place, places)
                tables.print_entries(cached, queued, names)
    return True


async def _show(config: Config, options: Options, environment: Mapping[str, str]) -> bool:
    async with open_places(config, options, environment) as places:
        for place in places:
            cached, _ = await place.holder.entries()
            for name in options.images:
                image_id, image = await place.identify(name, cached)
                entry = next((entry for entry in cached if entry.id == image_id), None)
                if place.node is None and entry is None:
                    raise NotChosen(f"{name} is not in the cache at {place.where}")
                status = await place.node.status(image_id) if place.node else None
                _print_one(place, options, image_id, image, entry, status)
    return True


async def _stats(config: Config, options: Options, environment: Mapping[str, str]) -> bool:
    async with open_places(config, options, environment) as places:
        for place in places:
            usage = await place.holder.usage()
            numbers = await fetch_numbers(config.metrics) if place.node and not options.nodes else None
            if options.as_json:
                counted = asdict(numbers) if numbers else {}
                print_json({"node": place.where} | asdict(usage) | {"free_bytes": usage.free_bytes} | counted)
            else:
                _title(place, places)
                tables.print_stats(usage, numbers)
    return True


async def _evict(config: Config, options: Options, environment: Mapping[str, str]) -> bool:
    """Whether every image was there and is gone now."""
    all_gone = True
    async with open_places(config, options, environment) as places:
        for place in places:
            cached, _ = await place.holder.entries()
            for name in dict.fromkeys(options.images):
                try:
                    image_id, _image = await place.identify(name, cached)
                    freed_bytes = await place.holder.evict(image_id)
                except NotChosen as error:
                    typer.echo(f"glint: {error}", err=True)
                    all_gone = False
                    continue
                all_gone = all_gone and freed_bytes is not None
                _print_evicted(place, options, name, image_id, freed_bytes)
    return all_gone


async def _clear(config: Config, options: Options, environment: Mapping[str, str]) -> bool:
    async with open_places(config, options, environment) as places:
        for place in places:
            cached, _ = await place.holder.entries()
            freed = [size_bytes for entry in cached if (size_bytes := await place.holder.evict(entry.id)) is not None]
            if options.as_json:
                print_json({"node": place.where, "evicted": len(freed), "freed_bytes": sum(freed)})
            else:
                typer.echo(f"{place.where}: {plural(len(freed), 'image')} evicted, {size_text(sum(freed))} freed")
    return True


Run = Callable[[Config, Options, Mapping[str, str]], Coroutine[None, None, bool]]
RUNS: Mapping[str, Run] = {
    "list": _list,
    "show": _show,
    "stats": _stats,
    "evict": _evict,
    "clear": _clear,
    "pin": pin,
    "unpin": unpin,
    "verify": verify,
}
"""Each gets the environment for the login, says whether all went well, and raises CommandFailed."""


def _print_one(
    place: Place,
    options: Options,
    image_id: str,
    image: ImageInfo | None,
    entry: CachedImage | None,
    status: CacheStatus | None,
) -> None:
    document: dict[str, Any] = {"node": place.where, "id": image_id, "name": image.name if image else None}
    document |= asdict(status) if status else {"state": "cached"}
    document |= {
        "hits": entry.hits if entry else None,
        "used_at_s": entry.used_at_s if entry else None,
        "created_at_s": entry.created_at_s if entry else None,
        "pinned": entry.pinned if entry else False,
    }
    if entry and not status:
        document |= {"present_bytes": entry.size_bytes, "size_bytes": entry.size_bytes}
    if options.as_json:
        print_json(document)
    else:
        tables.print_one(document)


def _print_evicted(place: Place, options: Options, name: str, image_id: str, freed_bytes: int | None) -> None:
    if options.as_json:
        print_json({"node": place.where, "id": image_id, "freed_bytes": freed_bytes})
    elif freed_bytes is None:
        typer.echo(f"glint: {name} is not in the cache at {place.where}", err=True)
    else:
        typer.echo(f"{name}: evicted, {size_text(freed_bytes)} freed")


def _title(place: Place, places: Sequence[Place]) -> None:
    if len(places) > 1:
        typer.echo(f"{place.where}:")
