"""Pages that are not in memory: threads that wait for the disk, so that nobody else does."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from proxy.transfer.errors import FileShort

_READ_AHEAD_BYTES = 16 * 1024 * 1024

Then = Callable[[Exception | None], None]


class ColdPages:
    """Who wants what somebody waits for already waits with him: one thread for all clients who are about as far."""

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        self._threads = threads
        self._lock = threading.Lock()
        self._waits: dict[tuple[int, int], list[_Wait]] = {}  # by device and inode

    def bring(self, file: int, start: int, until: int, stop: int, then: Then) -> None:
        """Have the pages from `start` to `until` brought into memory, and some on the way to `stop` begun with.

        Then call `then` in some thread, with what went wrong: FileShort, OSError. `file` must stay open until then. May
        be called in any thread.
        """
        try:
            status = os.fstat(file)
        except OSError as error:
            then(error)
            return
        wait = _Wait((status.st_dev, status.st_ino), file, start, until, stop, then)
        with self._lock:
            others = self._waits.setdefault(wait.key, [])
            for other in others:
                if other.start <= start < other.until:  # if he then still lacks some, he asks again
                    other.told.append(then)
                    return
            others.append(wait)
        try:
            self._threads.submit(self._run, wait)
        except RuntimeError as error:  # the threads were told to end
            self._end(wait, OSError(str(error)))

    def _run(self, wait: "_Wait") -> None:
        error: Exception | None = None
        try:
            wait.read()
        except (OSError, FileShort) as found:
            error = found
        self._end(wait, error)

    def _end(self, wait: "_Wait", error: Exception | None) -> None:
        with self._lock:
            others = self._waits[wait.key]
            others.remove(wait)
            if not others:
                del self._waits[wait.key]
        for then in wait.told:
            then(error)


class _Wait:
    def __init__(self, key: tuple[int, int], file: int, start: int, until: int, stop: int, then: Then) -> None:
        self.key, self.start, self.until = key, start, until
        self.told = [then]
        self._file, self._stop = file, stop

    def read(self) -> None:
        """Have the disk bring the next pages, and wait for the first of them. Raises FileShort, OSError.

        Sending them to nowhere waits for the disk and copies nothing; and it is one call, where touching each page
        would take and give the interpreter's lock hundreds of times, and keep the loop from it.
        """
        length = min(_READ_AHEAD_BYTES, self._stop - self.start)
        os.posix_fadvise(self._file, self.start, length, os.POSIX_FADV_WILLNEED)
        at = self.start
        nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        try:
            while at < self.until:
                got = os.sendfile(nowhere, self._file, at, self.until - at)
                if not got:
                    raise FileShort("the file ends before the bytes that were promised from it")
                at += got
        finally:
            os.close(nowhere)
