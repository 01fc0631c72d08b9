"""Which calls to a disk fail, and how. No I/O in here but the waiting."""

import asyncio
import errno as numbers
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

# The time of before any test began to watch for calls that block.
_sleep = time.sleep

SYNCING = frozenset({"fsync", "fdatasync"})
READING = frozenset({"open", "read", "pread", "preadv", "readv", "sendfile"})
GROWING = frozenset({"create", "mkdir", "write", "writev", "pwrite", "pwritev", "posix_fallocate", "ftruncate"})
WRITING = (
    GROWING
    | SYNCING
    | {
        "open_to_write",
        "rename",
        "replace",
        "unlink",
        "remove",
        "rmdir",
        "truncate",
        "fchmod",
        "chmod",
        "utime",
        "link",
    }
)
ALL = READING | WRITING
INDEXING = frozenset({"sqlite"})
POLL_S = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What happens to the `at`-th of these calls from now on, and to `times` of them in all (None: to all that follow).

    `path_part`: only for files whose path has this in it. `short_bytes`: so much of the data is taken. `flips`: one bit
    of the data is wrong.
    """

    calls: frozenset[str]
    at: int = 1
    times: int | None = 1
    error: int | None = None
    delay_s: float = 0.0
    hangs: bool = False
    short_bytes: int | None = None
    flips: bool = False
    path_part: str = ""
    number: int = 0  # tells two faults apart that are otherwise the same

    def __post_init__(self) -> None:
        assert self.calls <= ALL | INDEXING, f"no such calls: {sorted(self.calls - ALL)}"

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__} | {"calls": sorted(self.calls)}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "Fault":
        return cls(**(document | {"calls": frozenset(document["calls"])}))


@dataclass(slots=True, eq=False)
class InForce:
    """A fault in force. Whoever it holds waits for `over`."""

    fault: Fault
    seen: int = 0
    over: threading.Event = field(default_factory=threading.Event)


class Book:
    """The faults in force. Safe to use from many threads; `heal` ends every hang."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: list[InForce] = []
        self.calls: Counter[str] = Counter()  # all that came, by name
        self.fired: Counter[str] = Counter()  # those that something happened to
        self.held_loops: Counter[str] = Counter()  # those that would have made an event loop wait

    def put(self, faults: Iterable[Fault]) -> None:
        """Exactly these are in force from now on. One that was before goes on counting."""
        with self._lock:
            before = {one.fault: one for one in self._open}
            self._open = [before.get(fault) or InForce(fault) for fault in faults]
            over = [one for one in before.values() if one not in self._open]
        for one in over:
            one.over.set()

    def due(self, names: Iterable[str], path: str) -> list[InForce]:
        """What happens to this call, which goes by several names ("open" and "create")."""
        names = frozenset(names)
        with self._lock:
            self.calls.update(names)
            found = []
            for one in self._open:
                if not one.fault.calls & names or one.fault.path_part not in path:
                    continue
                one.seen += 1
                last = float("inf") if one.fault.times is None else one.fault.at + one.fault.times - 1
                if one.fault.at <= one.seen <= last:
                    found.append(one)
            if found:
                self.fired.update(names)
        return found

    def suffer(self, one: InForce, name: str, path: str) -> None:
        """Wait as told and raise what is told."""
        if (one.fault.delay_s or one.fault.hangs) and _is_on_a_loop():
            with self._lock:
                self.held_loops[name] += 1
            return
        if one.fault.delay_s:
            _sleep(one.fault.delay_s)
        if one.fault.hangs:
            while not one.over.is_set():  # in turns, since the end may be told by another process
                self.refresh()
                _sleep(POLL_S)
        if one.fault.error is not None:
            raise OSError(one.fault.error, numbers.errorcode[one.fault.error], path)

    def refresh(self) -> None:
        """For books that are written elsewhere."""


def _is_on_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
