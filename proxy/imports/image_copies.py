"""An image's bytes for a copy of it: from the cache if they are there or on their way, else from a store; proved."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from cache import CacheError
from proxy.blobs import active_locations, blob_of
from proxy.imports.image_bytes import bytes_of
from proxy.imports.tools import ImportTools
from proxy.tasks import TaskFailed
from upstream.types import Image


@asynccontextmanager
async def copied(tools: ImportTools, image: Image) -> AsyncIterator[AsyncIterator[bytes]]:
    """No detour by a file, and none by the cache for what is not in it: a copy is no reason to evict what is hot.

    A store that breaks is read on, there or at another location, and the digest is proved before the last bytes come.
    Beside clients they come as those of a prewarm do. Raises what the stores raise, and TaskFailed for bytes that are
    not the image's.
    """
    source = tools.stores.source(active_locations(image), image.size_bytes)
    source.wanted_for("prewarm")
    try:
        async with (
            tools.cache.open(blob_of(image), source, may_fill=False) as reader,
            aclosing(bytes_of(reader, tools.threads)) as pieces,
            aclosing(tools.cache.unhurried(pieces)) as portions,
        ):
            yield portions
    except CacheError as error:
        raise TaskFailed(str(error)) from error
