"""The numbers of several workers: each counts into files of its own, the supervisor adds them up.

A worker's files are named by its number, and its replacement counts on in them. So counters never go back when a
worker dies, and there are never more files than workers times kinds, however many died.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry, Metric, values
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

_PREFIX = "glint-numbers-"
_MEMORY = Path("/dev/shm")  # noqa: S108 - the folder in it is made by mkdtemp, for us alone
_ROOM_BYTES = 32 * 1024 * 1024
_LEFT_BEHIND_S = 60.0


@contextmanager
def numbers_folder() -> Iterator[Path]:
    """A private folder for the workers' files, removed in the end.

    In memory if possible: on a disk that is busy with images, adding one to a number could block the event loop.
    """
    parent = _MEMORY if _has_room(_MEMORY) else Path(tempfile.gettempdir())
    _remove_left_behind(parent)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the sign that somebody uses it
        yield folder
    finally:
        os.close(fd)
        shutil.rmtree(folder, ignore_errors=True)


def _has_room(folder: Path) -> bool:
    """A page of a mapped file that finds no room kills the process that touches it."""
    return os.access(folder, os.W_OK | os.X_OK) and shutil.disk_usage(folder).free >= _ROOM_BYTES


def _remove_left_behind(parent: Path) -> None:
    """Remove the folders of processes that were killed. A fresh one may not have got its lock yet."""
    for folder in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # another user's, in use, or gone
            if time.time() - folder.stat().st_mtime < _LEFT_BEHIND_S:
                continue
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(fd)


def count_into(folder: Path, worker: int) -> None:
    """Have this process keep its numbers in `folder`, and go on from those that `worker` left there.

    To be called before the first instrument is made. No two living processes may be the same `worker`.
    """
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    values.ValueClass = values.MultiProcessValue(process_identifier=lambda: worker)  # type: ignore[no-untyped-call]


def forget_what_was_in_flight(folder: Path, worker: int) -> None:
    """Of a worker that has ended, drop the gauges that only a living process can have; counters stay."""
    mark_process_dead(worker, str(folder))  # type: ignore[no-untyped-call]


def sum_of_workers(folder: Path) -> CollectorRegistry:
    """A registry that gives all workers' numbers as one process's."""
    registry = CollectorRegistry()
    registry.register(_Sum(folder))
    return registry


class _Sum(Collector):
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        # A worker that starts has made its files an instant before it fills them.
        files = [str(path) for path in self._folder.glob("*.db") if _has_content(path)]
        merged: Iterable[Metric] = MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]
        return merged


def _has_content(path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_size > 0
    return False
