"""A disk that fails on demand, in this process or in one that a test started.

with DiskFaults(folder) as disk:               # this process
    disk.fail("fdatasync", errno.EIO)          # the next one, then all is well
    disk.fail("pwrite", errno.EIO, at=3, times=None)  # the third from now and all after it
    disk.hang("fsync"); ...; disk.heal()

disk = RemoteDiskFaults(glint.cache_dir, tmp_path)         # another process
with Glint(tmp_path, environment=disk.environment): disk.full()

Names of calls are those of `os`. There are three for what is opened: "open" (anything), "open_to_write", "create" (a
new file).
"""

import errno
import json
import os
import secrets
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.disk.book import ALL, GROWING, WRITING, Book, Fault
from tests.disk.hooks import hooked

FOLDER, CONTROL = "GLINT_TEST_DISK_FOLDER", "GLINT_TEST_DISK_CONTROL"
_HERE = Path(__file__).parent
_ROOT = _HERE.parents[1]


class Faults(ABC):
    """The verbs. Faults add up until `heal`."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._numbers = 0

    @abstractmethod
    def _put(self, faults: list[Fault]) -> None:
        """These are in force from now on."""

    @property
    @abstractmethod
    def fired(self) -> Counter[str]:
        """To how many calls of a name something happened."""

    def fail(
        self, calls: str | Iterable[str], error: int, *, at: int = 1, times: int | None = 1, path_part: str = ""
    ) -> None:
        self._add(Fault(calls=_set(calls), at=at, times=times, error=error, path_part=path_part))

    def short(self, calls: str | Iterable[str], short_bytes: int, *, at: int = 1, times: int | None = 1) -> None:
        """Only so much is written, as the kernel may do."""
        self._add(Fault(calls=_set(calls), at=at, times=times, short_bytes=short_bytes))

    def delay(self, calls: str | Iterable[str], delay_s: float, *, at: int = 1, times: int | None = None) -> None:
        self._add(Fault(calls=_set(calls), at=at, times=times, delay_s=delay_s))

    def hang(self, calls: str | Iterable[str], *, at: int = 1, times: int | None = None) -> None:
        """Until `heal`."""
        self._add(Fault(calls=_set(calls), at=at, times=times, hangs=True))

    def flip(self, calls: str | Iterable[str], *, at: int = 1, times: int | None = 1, path_part: str = "") -> None:
        """One bit of what is read or written is wrong."""
        self._add(Fault(calls=_set(calls), at=at, times=times, flips=True, path_part=path_part))

    def full(self, error: int = errno.ENOSPC, *, at: int = 1) -> None:
        """No new files and no new bytes; all else goes on."""
        self.fail(GROWING, error, at=at, times=None)

    def read_only(self) -> None:
        self.fail(WRITING, errno.EROFS, times=None)

    def dead(self) -> None:
        """EIO from everything."""
        self.fail(ALL, errno.EIO, times=None)

    def heal(self) -> None:
        self._faults = []
        self._put([])

    def _add(self, fault: Fault) -> None:
        self._numbers += 1
        self._faults.append(replace(fault, number=self._numbers))
        self._put(self._faults)


class DiskFaults(Faults):
    """In this process, while the context lasts. Leaving it ends every hang."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder, self._book, self._stack = folder.resolve(), Book(), ExitStack()

    @property
    def fired(self) -> Counter[str]:
        return self._book.fired

    @property
    def calls(self) -> Counter[str]:
        """All that came, by name."""
        return self._book.calls

    @property
    def held_loops(self) -> Counter[str]:
        """Calls that would have made an event loop wait. They were let through, so that the test can tell."""
        return self._book.held_loops

    def __enter__(self) -> Self:
        self._stack.enter_context(hooked(self._folder, self._book))
        self._stack.callback(self.heal)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def _put(self, faults: list[Fault]) -> None:
        self._book.put(faults)


class RemoteDiskFaults(Faults):
    """In each process that is started with `environment`, and in those that it starts. They count each for itself."""

    def __init__(self, folder: Path, scratch: Path) -> None:
        super().__init__()
        self._folder = folder.resolve()
        self._control = scratch / f"disk-{secrets.token_hex(4)}.json"
        self._put([])

    @property
    def environment(self) -> Mapping[str, str]:
        search = os.pathsep.join(map(str, (_HERE / "site", _ROOT)))
        return {"PYTHONPATH": search, FOLDER: str(self._folder), CONTROL: str(self._control)}

    @property
    def fired(self) -> Counter[str]:
        told = told_path(self._control)
        return Counter(told.read_text().splitlines() if told.exists() else [])

    def _put(self, faults: list[Fault]) -> None:
        unfinished = self._control.with_suffix(".new")
        unfinished.write_text(json.dumps([fault.to_json() for fault in faults]))
        unfinished.rename(self._control)


def told_path(control: Path) -> Path:
    """Where the processes say what happened to them: the name of a call on each line."""
    return control.with_suffix(".fired")


def _set(calls: str | Iterable[str]) -> frozenset[str]:
    return frozenset({calls} if isinstance(calls, str) else calls)
