"""`glint cache`: look into the disk cache and take things out of it, through the running Glint or on its folder."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import typer

from cache import StoppedCache, UnknownFormat
from proxy.commands import tables
from proxy.commands.errors import NoAnswer, NoCacheFolder, NotChosen
from proxy.commands.node import CachedImage, CacheUsage, ImageInfo, Node, open_nodes
from proxy.commands.numbers import fetch_numbers
from proxy.commands.selection import by_name
from proxy.commands.text import plural, size_text
from proxy.config import Config
from proxy.prewarm import CacheStatus


class Holder(Protocol):
    """Who can be asked about the cache: a running Glint, or the folder of one that is stopped."""

    async def entries(self) -> tuple[list[CachedImage], list[str]]: ...

    async def usage(self) -> CacheUsage: ...

    async def evict(self, image_id: str) -> int | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    images: Sequence[str] = ()
    nodes: Sequence[str] = ()
    offline: bool = False
    as_json: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One cache: its holder, and the running Glint if that is it."""

    holder: Holder
    node: Node | None
    where: str

    async def names(self) -> Mapping[str, str]:
        """The names of images by id, as far as they can be learned."""
        if self.node is None:
            return {}
        return {image.id: image.name for image in await self.node.images([]) if image.name}


class _Folder:
    """`Holder` of a folder; each statement in a thread."""

    def __init__(self, stopped: StoppedCache, limit_bytes: int) -> None:
        self._stopped, self._limit_bytes = stopped, limit_bytes

    async def entries(self) -> tuple[list[CachedImage], list[str]]:
        rows = await asyncio.to_thread(self._stopped.entries)
        cached = [
            CachedImage(
                id=row.key,
                size_bytes=row.size_bytes,
                hits=row.hits,
                used_at_s=row.used_at_s,
                created_at_s=row.created_at_s,
            )
            for row in rows
        ]
        return cached, []

    async def usage(self) -> CacheUsage:
        return CacheUsage(**asdict(await asyncio.to_thread(self._stopped.usage)), limit_bytes=self._limit_bytes)

    async def evict(self, image_id: str) -> int | None:
        return await asyncio.to_thread(self._stopped.evict, image_id)


async def _list(config: Config, options: Options, environment: Mapping[str, str]) -> bool:
    async with _places(config, options, environment) as places:
        for place in places:
            cached, queued = await place.holder.entries()
            names = await place.names() if cached or queued else {}
            if options.as_json:
                for entry in cached:
                    _print_json({"node": place.where, "name": names.get(entry.id)} | asdict(entry))
            else:
                _title(place, places)
                tables.print_entries(cached, queued, names)
    return True


async def _show(config: Config, options: Options, environment: Mapping[str, str]) -> bool:
    async with _places(config, options, environment) as places:
        for place in places:
            cached, _ = await place.holder.entries()
            for name in options.images:
                image_id, image = await _identify(place, name, cached)
                entry = next((entry for entry in cached if entry.id == image_id), None)
                if place.node is None and entry is None:
                    raise NotChosen(f"{name} is not in the cache at {place.where}")
                status = await place.node.status(image_id) if place.node else None
                _print_one(place, options, image_id, image, entry, status)
    return True


async def _stats(config: Config, options: Options, environment: Mapping[str, str]) -> bool:
    async with _places(config, options, environment) as places:
        for place in places:
            usage = await place.holder.usage()
            numbers = await fetch_numbers(config.metrics) if place.node and not options.nodes else None
            if options.as_json:
                counted = asdict(numbers) if numbers else {}
                _print_json({"node": place.where} | asdict(usage) | {"free_bytes": usage.free_bytes} | counted)
            else:
                _title(place, places)
                tables.print_stats(usage, numbers)
    return True


async def _evict(config: Config, options: Options, environment: Mapping[str, str]) -> bool:
    """Whether every image was there and is gone now."""
    all_gone = True
    async with _places(config, options, environment) as places:
        for place in places:
            cached, _ = await place.holder.entries()
            for name in dict.fromkeys(options.images):
                try:
                    image_id, _image = await _identify(place, name, cached)
                    freed_bytes = await place.holder.evict(image_id)
                except NotChosen as error:
                    typer.echo(f"glint: {error}", err=True)
                    all_gone = False
                    continue
                all_gone = all_gone and freed_bytes is not None
                _print_evicted(place, options, name, image_id, freed_bytes)
    return all_gone


async def _clear(config: Config, options: Options, environment: Mapping[str, str]) -> bool:
    async with _places(config, options, environment) as places:
        for place in places:
            cached, _ = await place.holder.entries()
            freed = [size_bytes for entry in cached if (size_bytes := await place.holder.evict(entry.id)) is not None]
            if options.as_json:
                _print_json({"node": place.where, "evicted": len(freed), "freed_bytes": sum(freed)})
            else:
                typer.echo(f"{place.where}: {plural(len(freed), 'image')} evicted, {size_text(sum(freed))} freed")
    return True


Run = Callable[[Config, Options, Mapping[str, str]], Coroutine[None, None, bool]]
RUNS: Mapping[str, Run] = {"list": _list, "show": _show, "stats": _stats, "evict": _evict, "clear": _clear}
"""Each gets the environment for the login, says whether all went well, and raises CommandFailed."""


@asynccontextmanager
async def _places(config: Config, options: Options, environment: Mapping[str, str]) -> AsyncIterator[list[Place]]:
    """The caches asked for. If the Glint of this configuration does not answer, its folder stands for it."""
    if options.offline:
        async with _folder(config) as place:
            yield [place]
        return
    async with open_nodes(config, options.nodes, environment) as nodes:
        is_down = not options.nodes and not await _answers(nodes[0])
        if not is_down:
            yield [Place(holder=node, node=node, where=node.url) for node in nodes]
            return
    typer.echo(f"glint: no Glint answers at {nodes[0].url}: using the folder {config.cache.dir}", err=True)
    async with _folder(config) as place:
        yield [place]


async def _answers(node: Node) -> bool:
    try:
        await node.usage()
    except NoAnswer:
        return False
    return True


@asynccontextmanager
async def _folder(config: Config) -> AsyncIterator[Place]:
    try:
        stopped = await asyncio.to_thread(StoppedCache, config.cache.dir)
    except UnknownFormat as error:
        raise NoCacheFolder(f"{error}; see cache.dir") from error
    except (OSError, sqlite3.Error) as error:
        raise NoCacheFolder(f"cache.dir cannot be used: {error}") from error
    try:
        yield Place(holder=_Folder(stopped, config.cache.size_max), node=None, where=str(config.cache.dir))
    except (OSError, sqlite3.Error) as error:
        raise NoCacheFolder(f"cache.dir failed: {error}") from error
    finally:
        await asyncio.to_thread(stopped.close)


async def _identify(place: Place, name: str, cached: Sequence[CachedImage]) -> tuple[str, ImageInfo | None]:
    """The id that `name` means: an entry's, also when its image is deleted, else an image's. Raises NotChosen."""
    if any(entry.id == name for entry in cached):
        return name, await place.node.image(name) if place.node else None
    if place.node is None:
        raise NotChosen(f"{name} is not in the cache at {place.where}; without a running Glint only ids are known")
    image = await by_name(place.node, name)
    return image.id, image


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
    }
    if entry and not status:
        document |= {"present_bytes": entry.size_bytes, "size_bytes": entry.size_bytes}
    if options.as_json:
        _print_json(document)
    else:
        tables.print_one(document)


def _print_evicted(place: Place, options: Options, name: str, image_id: str, freed_bytes: int | None) -> None:
    if options.as_json:
        _print_json({"node": place.where, "id": image_id, "freed_bytes": freed_bytes})
    elif freed_bytes is None:
        typer.echo(f"glint: {name} is not in the cache at {place.where}", err=True)
    else:
        typer.echo(f"{name}: evicted, {size_text(freed_bytes)} freed")


def _title(place: Place, places: Sequence[Place]) -> None:
    if len(places) > 1:
        typer.echo(f"{place.where}:")


def _print_json(document: Mapping[str, Any]) -> None:
    typer.echo(json.dumps(document))
