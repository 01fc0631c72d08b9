"""Bytes through memory: for TLS, and for what comes from a source without a file. One piece is held at a time."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from aiohttp.abc import AbstractStreamWriter

from proxy.transfer.errors import ClientGone, FileShort
from proxy.transfer.pages import in_time

_PIECE_BYTES = 512 * 1024


class Outlet:
    """A response's body writer that gives up on a client who takes nothing."""

    def __init__(self, writer: AbstractStreamWriter, *, idle_s: float) -> None:
        self._writer, self._idle_s = writer, idle_s

    async def write(self, piece: bytes) -> None:
        """Raises ClientGone if the client has closed, or takes no byte for too long."""
        try:
            async with asyncio.timeout(self._idle_s):
                await self._writer.write(piece)
                await self._writer.drain()
        except TimeoutError as error:
            raise ClientGone(f"the client took no byte for {self._idle_s:g} s") from error
        except ConnectionError as error:
            raise ClientGone("the client closed the connection") from error


async def send_buffered(
    out: Outlet,
    threads: ThreadPoolExecutor,
    file: int,
    start: int,
    stop: int,
    advance: Callable[[int], None],
    disk_s: float | None = None,
) -> None:
    """Send a file's bytes from `start` up to `stop` through memory. The disk may let the first ones wait for `disk_s`.

    Raises ClientGone, FileShort, DiskSlow, OSError.
    """
    at = start
    while at < stop:
        piece = await in_time(threads, file, partial(_pread, count=min(_PIECE_BYTES, stop - at), at=at), disk_s)
        if not piece:
            raise FileShort("the file ends before the bytes that were promised from it")
        await out.write(piece)
        at += len(piece)
        disk_s = None
        advance(at)


def _pread(file: int, *, count: int, at: int) -> bytes:
    return os.pread(file, count, at)


async def drain(transport: asyncio.Transport, writer: AbstractStreamWriter, *, idle_s: float) -> None:
    """Return when the transport holds no byte back: what is sent beside it must not overtake it. Raises ClientGone."""
    if transport.get_write_buffer_size():
        transport.set_write_buffer_limits(high=0)
        try:
            async with asyncio.timeout(idle_s):
                await writer.drain()
        except TimeoutError as error:
            raise ClientGone(f"the client took no byte for {idle_s:g} s") from error
        finally:
            transport.set_write_buffer_limits()
    if transport.get_write_buffer_size():
        raise ClientGone("the client closed the connection")
