"""Reading an entry from the disk itself, whatever lies in memory, and without filling memory with it."""

import errno
import fcntl
import mmap
import os
from pathlib import Path
from typing import Self

import xxhash

from cache.sums import EXTENT_BYTES

_ALIGNMENT_BYTES = 4096


class EntryFile:
    """An entry opened past the page cache, with an aligned buffer for one extent.

    Where O_DIRECT is refused, the file's pages are dropped at first, so that the disk is asked all the same, and again
    after each read. What others bring back to memory meanwhile came from the disk too: entries are never written again.
    Whether a page was in memory before cannot be asked: RWF_NOWAIT brings it there.
    """

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECT)
            self._is_direct = True
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            self._read_through_memory()
        self._buffer = mmap.mmap(-1, EXTENT_BYTES)  # memory of whole pages, as O_DIRECT asks for
        self.size_bytes = os.fstat(self._fd).st_size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        os.close(self._fd)  # the buffer goes with its last user, who may be an error's traceback

    def read(self, start: int, length: int) -> int:
        """Read an extent into the buffer, and say how many bytes of it there are."""
        if self._is_direct:
            try:
                return self._fill(start, length)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
            # Some file systems admit the flag and refuse the read.
            fcntl.fcntl(self._fd, fcntl.F_SETFL, fcntl.fcntl(self._fd, fcntl.F_GETFL) & ~os.O_DIRECT)
            self._read_through_memory()
        got_bytes = self._fill(start, length)
        os.posix_fadvise(self._fd, start, length, os.POSIX_FADV_DONTNEED)
        return got_bytes

    def digest(self, length: int) -> int:
        """Of the first bytes in the buffer."""
        with memoryview(self._buffer)[:length] as data:
            return int(xxhash.xxh3_64_intdigest(data))

    def _read_through_memory(self) -> None:
        self._is_direct = False
        # The whole file: memory may hold it in pieces larger than an extent, which are not dropped in part.
        os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_DONTNEED)
        # Without read-ahead: it brings such pieces, reaching over the end of an extent.
        os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_RANDOM)

    def _fill(self, start: int, length: int) -> int:
        """Reads whole blocks, as O_DIRECT asks for; at the end of the file there is less."""
        got = 0
        with memoryview(self._buffer) as buffer:
            while got < length:
                at = got - got % _ALIGNMENT_BYTES  # a read that stopped in mid-block is taken up at the block
                count = os.preadv(self._fd, [buffer[at:]], start + at)
                if at + count <= got:
                    break
                got = at + count
        return min(got, length)
