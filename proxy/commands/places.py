"""Where `glint cache` works: running Glints, or the folder of one that is stopped."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Protocol

import typer

from cache import StoppedCache, UnknownFormat
from proxy.commands.errors import NoAnswer, NoCacheFolder, NotChosen
from proxy.commands.node import CachedImage, CacheUsage, ImageInfo, Node, Verified, open_nodes
from proxy.commands.selection import by_name
from proxy.config import Config


class Holder(Protocol):
    """Who can be asked about the cache: a running Glint, or the folder of one that is stopped."""

    async def entries(self) -> tuple[list[CachedImage], list[str]]: ...

    async def usage(self) -> CacheUsage: ...

    async def evict(self, image_id: str) -> int | None: ...

    async def pin(self, image_id: str, *, pinned: bool) -> bool: ...

    async def verify(self, image_id: str, on_read: Callable[[int], None]) -> Verified: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    images: Sequence[str] = ()
    everything: bool = False
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

    async def identify(self, name: str, cached: Sequence[CachedImage]) -> tuple[str, ImageInfo | None]:
        """The id that `name` means: an entry's, also when its image is deleted, else an image's. Raises NotChosen."""
        if any(entry.id == name for entry in cached):
            return name, await self.node.image(name) if self.node else None
        if self.node is None:
            raise NotChosen(f"{name} is not in the cache at {self.where}; without a running Glint only ids are known")
        image = await by_name(self.node, name)
        return image.id, image


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
                pinned=row.pinned,
            )
            for row in rows
        ]
        keys = {entry.id for entry in cached}
        return cached, [key for key in await asyncio.to_thread(self._stopped.queued) if key not in keys]

    async def usage(self) -> CacheUsage:
        return CacheUsage(**asdict(await asyncio.to_thread(self._stopped.usage)), limit_bytes=self._limit_bytes)

    async def evict(self, image_id: str) -> int | None:
        return await asyncio.to_thread(self._stopped.evict, image_id)

    async def pin(self, image_id: str, *, pinned: bool) -> bool:
        return await asyncio.to_thread(self._stopped.pin, image_id, pinned=pinned)

    async def verify(self, image_id: str, on_read: Callable[[int], None]) -> Verified:
        is_over = threading.Event()

        def may_read(length_bytes: int) -> bool:
            on_read(length_bytes)
            return not is_over.is_set()

        try:
            return Verified(verdict=await asyncio.to_thread(self._stopped.verify, image_id, may_read))
        finally:
            is_over.set()  # a thread cannot be cancelled; this one is asked to end


@asynccontextmanager
async def open_places(config: Config, options: Options, environment: Mapping[str, str]) -> AsyncIterator[list[Place]]:
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
