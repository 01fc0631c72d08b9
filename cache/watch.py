"""The operations of the cache's disk as they run in worker threads: counted, timed, and judged by `cache.health`."""

import contextlib
import errno
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from cache.files import sync_folder, write_all
from cache.health import FULL, HANG_S, DiskHealth, DiskState, is_disk_fault
from metrics import Instruments

log = structlog.get_logger(__name__)

_PROBE_BYTES = 64 * 1024


@dataclass(slots=True, eq=False)
class _Running:
    name: str
    since_s: float
    steps: Callable[[], int] | None = None
    seen: int = 0
    is_counted: bool = False

    def age_s(self, now_s: float) -> float:
        """For how long it has been running, or since it was last seen to take a step."""
        if self.steps is not None and (seen := self.steps()) != self.seen:
            self.seen, self.since_s = seen, now_s
        return now_s - self.since_s


class DiskWatch:
    """One process's view of its disk. Safe to use from many threads; only `probe` waits for the disk.

    Call `check` every second or so: an operation that hangs does not report itself.
    """

    def __init__(self, instruments: Instruments, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._instruments, self._monotonic = instruments, monotonic
        self._lock = threading.Lock()
        self._health = DiskHealth()
        self._running: set[_Running] = set()
        self._is_probing = False
        self._told_state = DiskState.HEALTHY
        instruments.disk_state.set(DiskState.HEALTHY)

    @property
    def state(self) -> DiskState:
        return self._health.state

    @property
    def is_usable(self) -> bool:
        """False: go round the cache. Takes no lock, for the event loop."""
        return self._health.is_usable

    @contextmanager
    def operation(self, name: str, steps: Callable[[], int] | None = None) -> Iterator[None]:
        """Around one blocking call of the disk, in the thread that makes it. `name` becomes a label: few, fixed words.

        Errors pass through. Only those of the disk itself count as faults; after any other nothing is concluded.
        What takes long by itself counts its `steps`, and hangs only when they stop.
        """
        with self._lock:
            running = _Running(name, self._monotonic(), steps)
            self._running.add(running)
        is_clean: bool | None = None
        try:
            yield
            is_clean = True
        except OSError as error:
            if is_disk_fault(error):
                is_clean = False
            elif error.errno in FULL:  # an error to the operator, no fault of the disk
                self._instruments.disk_errors.labels(name).inc()
            raise
        finally:
            self._end(running, is_clean=is_clean)

    def unopened(self) -> None:
        """The folder could not be opened: it is gone round until `opened`."""
        with self._lock:
            self._health.unopened(self._monotonic())
            self._tell()

    def opened(self) -> None:
        with self._lock:
            self._health.opened()
            self._tell()

    def overdue(self) -> str | None:
        """The name of the operation that has been running the longest, if that is longer than HANG_S."""
        with self._lock:
            hanging = self._hanging(self._monotonic())
            return min(hanging, key=lambda running: running.since_s).name if hanging else None

    def longest_s(self) -> float:
        """For how many seconds the operation has been running that has been running the longest; 0 if none does."""
        with self._lock:
            now_s = self._monotonic()
            return max((running.age_s(now_s) for running in self._running), default=0.0)

    def check(self) -> DiskState:
        """Look for operations that hang and let time pass. Does not wait for the disk: fit for the event loop."""
        with self._lock:
            now_s = self._monotonic()
            hanging = self._hanging(now_s)
            for running in hanging:
                self._count_once(running)
            if hanging:
                self._health.hung(now_s)
            self._health.pass_time(now_s)
            return self._tell()

    def may_probe(self) -> bool:
        """Whether `probe` would do anything now. A probe that hangs is not followed by another."""
        with self._lock:
            return not self._is_probing and self._health.may_probe(self._monotonic())

    def probe(self, folder: Path) -> bool:
        """Try the disk with a small file in `folder`, if it is time to. Blocks; whether the disk did all it was asked.

        Six operations, so that ten probes are the proof of health. Their outcome is counted like any other's.
        """
        with self._lock:
            if self._is_probing or not self._health.may_probe(now_s := self._monotonic()):
                return False
            self._is_probing = True
            self._health.probed(now_s)
        try:
            _exercise(folder, self.operation)
        except OSError:
            return False
        else:
            return True
        finally:
            with self._lock:
                self._is_probing = False

    def _end(self, running: _Running, *, is_clean: bool | None) -> None:
        with self._lock:
            now_s = self._monotonic()
            self._running.remove(running)
            if running.age_s(now_s) > HANG_S:
                self._count_once(running)
                self._health.hung(now_s)
            elif is_clean:
                self._health.succeeded(now_s)
            elif is_clean is False:
                self._count_once(running)
                self._health.failed(now_s)
            self._tell()

    def _hanging(self, now_s: float) -> list[_Running]:
        return [running for running in self._running if running.age_s(now_s) > HANG_S]

    def _count_once(self, running: _Running) -> None:
        if not running.is_counted:
            running.is_counted = True
            self._instruments.disk_errors.labels(running.name).inc()

    def _tell(self) -> DiskState:
        state = self._health.state
        if state is not self._told_state:
            self._instruments.disk_state.set(state)
            level = log.info if state is DiskState.HEALTHY else log.error
            level("disk.changed", state=state.name.lower(), before=self._told_state.name.lower())
            self._told_state = state
        return state


def _exercise(folder: Path, operation: Callable[[str], AbstractContextManager[None]]) -> None:
    """Write, sync, read back, compare, remove: what the cache asks of a disk. Raises OSError."""
    path = folder / f".probe-{secrets.token_hex(8)}"  # no key begins with a dot
    content = secrets.token_bytes(_PROBE_BYTES)
    with operation("create"):
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with operation("write"):
            write_all(fd, memoryview(content), 0)
        with operation("sync"):
            os.fsync(fd)
        with operation("read"):
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)  # so that it is the disk that answers
            if os.pread(fd, _PROBE_BYTES, 0) != content:
                raise OSError(errno.EIO, "the disk gave back other bytes than it took")
        with operation("remove"):
            path.unlink(missing_ok=True)
        with operation("sync"):
            sync_folder(folder)
    finally:
        # What is left behind has no key's name, and closing may tell an error that was counted before.
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            os.close(fd)
