"""All bytes of an image for ourselves, by the same reader that clients have: what is cached is not asked of a store."""

import os
from collections.abc import AsyncGenerator
from concurrent.futures import Executor
from functools import partial

from cache import CacheUnusable, Reader, in_thread

_PIECE_BYTES = 1024 * 1024


async def bytes_of(reader: Reader, threads: Executor) -> AsyncGenerator[bytes]:
    """From the cache's file as it grows; from where that fails, from the source. Raises as the reader does."""
    at, size_bytes = 0, reader.blob.size_bytes or 0
    if reader.has_file:
        try:
            while at < size_bytes:
                stop = await reader.beyond(at)
                while at < stop:
                    piece = await in_thread(threads, partial(_pread, reader.fd, min(_PIECE_BYTES, stop - at), at))
                    at += len(piece)
                    yield piece
        except (CacheUnusable, OSError) as error:
            if not reader.can_go_direct:
                raise
            if not isinstance(error, CacheUnusable):
                reader.distrust_file()
        else:
            return
    async with reader.direct(at) as chunks:
        async for chunk in chunks:
            yield chunk


def _pread(file: int, count: int, at: int) -> bytes:
    piece = os.pread(file, count, at)
    if not piece:
        raise OSError("the cache's file ends before the bytes that were promised from it")
    return piece
