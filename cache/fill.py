"""One copy of a blob from its source to the disk. Belongs to no client: it outlives whoever asked first."""

import asyncio
import contextlib
import hashlib
import os
from collections.abc import AsyncGenerator, AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from cache.disk import Folder, write_all
from cache.errors import DigestMismatch, DiskFailed, Stalled, WrongSize
from cache.progress import Progress
from cache.sums import Summer
from cache.threads import in_thread
from cache.types import Blob, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class FillTools:
    """What every fill of one cache uses."""

    folder: Folder
    workers: ThreadPoolExecutor
    idle_s: float
    verify_digest: bool


class Fill:
    """Reads the source once, writes, checks, publishes.

    Readers watch `progress` and read by `fd`, which stays open while there are any. `started` is set when it was its
    turn, `ended` when nothing more will happen; `is_stored` then tells whether there is an entry.
    """

    def __init__(self, blob: Blob, source: Source, tools: FillTools) -> None:
        assert blob.size_bytes is not None
        self.blob = blob
        self.size_bytes = blob.size_bytes
        self.progress = Progress(blob.size_bytes)
        self.fd: int | None = None
        self.readers = 0
        self.started = asyncio.Event()
        self.ended = asyncio.Event()
        self.is_stored = False
        self._source, self._tools = source, tools
        self._path: Path | None = None
        self._summer = Summer()
        self._digest = blob.digest if tools.verify_digest else None
        self._hash = hashlib.new(self._digest.algorithm, usedforsecurity=False) if self._digest else None

    def join(self) -> None:
        self.readers += 1

    def leave(self) -> None:
        assert self.readers > 0
        self.readers -= 1
        self._close_if_unused()

    async def copy(self) -> None:
        """Bring all bytes to the disk and release them to the readers.

        Raises what went wrong: an error of the source as it came, DiskFailed if the disk refused, WrongSize, Stalled,
        DigestMismatch. The file stays for `publish` or `discard`.
        """
        async with self._source(0) as chunks:
            await self._start_file()
            self.progress.open()
            async with aclosing(limit_idle(chunks, self._tools.idle_s)) as pieces:
                async for piece in pieces:
                    await self._append(piece)
        if self.progress.written_bytes != self.size_bytes:
            raise WrongSize(self.blob.key, self.size_bytes, self.progress.written_bytes)
        if self._hash is not None and self._digest is not None and self._hash.hexdigest() != self._digest.value:
            raise DigestMismatch(self.blob.key, self._digest.algorithm, self._digest.value, self._hash.hexdigest())
        self.progress.finish()

    async def publish(self) -> None:
        """Make the file an entry. Raises DiskFailed; readers have their bytes all the same."""
        try:
            await in_thread(self._tools.workers, self._publish)
        except OSError as error:
            raise DiskFailed("publish", error) from error

    async def discard(self) -> None:
        """Remove the file unless it was published."""
        if self._path is not None:
            # A file that cannot be removed now is removed at the next start.
            with contextlib.suppress(OSError):
                await in_thread(self._tools.workers, self._path.unlink, missing_ok=True)

    def end(self) -> None:
        """Nothing more will be written. The descriptor goes with the last reader."""
        self.started.set()
        self.ended.set()
        self._close_if_unused()

    def _close_if_unused(self) -> None:
        if self.fd is not None and self.readers == 0 and self.ended.is_set():
            fd, self.fd = self.fd, None
            # Some file systems tell late write errors here. The file is whole or gone, and no other fill may suffer.
            with contextlib.suppress(OSError):
                os.close(fd)

    async def _start_file(self) -> None:
        try:
            await in_thread(self._tools.workers, self._start)
        except OSError as error:
            raise DiskFailed("create", error) from error

    def _start(self) -> None:
        # Set here, in the thread, so that a cancelled caller still knows what there is to discard.
        self._path, self.fd = self._tools.folder.start_fill(self.blob.key)

    def _publish(self) -> None:
        assert self._path is not None
        assert self.fd is not None
        self._tools.folder.publish(self.blob.key, self._path, self.fd, self._summer.finish())
        self._path = None

    async def _append(self, piece: bytes) -> None:
        """Write and digest one piece, side by side in two threads, then let readers have it."""
        assert self.fd is not None
        at = self.progress.written_bytes
        if at + len(piece) > self.size_bytes:
            raise WrongSize(self.blob.key, self.size_bytes, at + len(piece))
        data = memoryview(piece)
        digested = self._tools.workers.submit(self._update, data)
        try:
            await in_thread(self._tools.workers, write_all, self.fd, data, at)
        except OSError as error:
            raise DiskFailed("write", error) from error
        finally:
            # Threads take their calls in order, so this one never waits for a call that is queued behind it.
            await in_thread(self._tools.workers, digested.result)
        self.progress.advance(at + len(piece))

    def _update(self, data: memoryview) -> None:
        self._summer.update(data)
        if self._hash is not None:
            self._hash.update(data)


async def limit_idle(chunks: AsyncIterator[bytes], idle_s: float) -> AsyncGenerator[bytes]:
    """The same chunks; raises Stalled when none comes for `idle_s`."""
    while True:
        try:
            async with asyncio.timeout(idle_s):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise Stalled(idle_s) from error
        yield chunk
