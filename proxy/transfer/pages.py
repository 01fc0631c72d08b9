"""Pages of a file: whether they are in memory, and what a client leaves there."""

import asyncio
import errno
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from proxy.transfer.errors import DiskSlow

T = TypeVar("T")

_PROBE_STEP_BYTES = 2 * 1024 * 1024  # each probe costs 2 us; readahead and reclaim rarely leave smaller holes
_KEPT_BYTES = 16 * 1024 * 1024
DISK_S = 10.0  # then whoever can goes on without the disk ...
FIRST_DISK_S = 1.5  # ... who has no byte yet and a store to go to sooner: he waits for that one's first byte as well
_PROBE = (bytearray(1),)  # what is read into it is never looked at
# What a filesystem says that cannot answer RWF_NOWAIT; some answer it with nothing read.
_CANNOT_TELL = {errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS}


class Behind:
    """What one client leaves in memory of a large file that nobody else reads: no more than is on its way to him."""

    def __init__(self, cold: ThreadPoolExecutor, start: int) -> None:
        self._cold, self._kept_from = cold, start

    def next_stop(self, at: int) -> int:
        """How far to send before the pages behind are let go."""
        return at + _KEPT_BYTES

    async def let_go(self, file: int, at: int) -> None:
        """Of the pages before `at`. Those that wait in the socket cannot go yet, and are asked for again next time.

        Raises DiskSlow, OSError.
        """
        start, self._kept_from = self._kept_from, max(self._kept_from, at - _KEPT_BYTES)
        if at > start:
            await in_time(
                self._cold, file, lambda own: os.posix_fadvise(own, start, at - start, os.POSIX_FADV_DONTNEED)
            )


def patience_s(*, has_begun: bool) -> float:
    """For how long the disk may let a client wait for the next byte, or the first."""
    return DISK_S if has_begun else min(FIRST_DISK_S, DISK_S)


async def in_time(cold: ThreadPoolExecutor, file: int, call: Callable[[int], T], disk_s: float | None = None) -> T:
    """What `call` gives in a thread, with a descriptor of its own for `file`. Raises DiskSlow if that takes too long.

    A call that is given up harms nobody when the disk comes back.
    """
    disk_s = DISK_S if disk_s is None else disk_s
    own = os.dup(file)

    def closing() -> T:
        try:
            return call(own)
        finally:
            os.close(own)

    waiting = asyncio.get_running_loop().run_in_executor(cold, closing)
    try:
        async with asyncio.timeout(disk_s):
            return await asyncio.shield(waiting)
    except TimeoutError as error:
        waiting.add_done_callback(_look_at)
        raise DiskSlow(f"the disk gave no byte for {disk_s:g} s") from error
    except asyncio.CancelledError:
        waiting.add_done_callback(_look_at)
        raise


def _look_at(waiting: asyncio.Future[T]) -> None:
    """So that asyncio does not report an error that nobody waits for any more."""
    if not waiting.cancelled():
        waiting.exception()


def is_resident(file: int, start: int, count: int) -> bool:
    """Whether these bytes can be had without the disk, as far as samples tell; True where nobody can tell."""
    stop = start + count
    for at in (*range(start, stop, _PROBE_STEP_BYTES), stop - 1):
        try:
            os.preadv(file, _PROBE, at, os.RWF_NOWAIT)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno in _CANNOT_TELL:
                return True
            raise
    return True
