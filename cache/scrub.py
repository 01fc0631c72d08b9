"""The at-rest check: entries are read back from the disk and compared with their sums. Everything here blocks.

It reads past the page cache: what lies in memory may be good while the disk's copy has decayed, and a pass over all
entries must not push what is hot out of memory.
"""

import errno
import os
import struct
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from cache.entry_file import EntryFile
from cache.sums import EXTENT_BYTES, SUM_BYTES, sums_bytes

# What is said of one spot that cannot be read any more. A disk that is gone altogether says other things as well.
_UNREADABLE = frozenset({errno.EIO, errno.EUCLEAN, errno.EBADMSG, errno.ENODATA, errno.EREMOTEIO})


PASS_MAX_S = 7 * 86400.0  # what decays is to be found before its source may be gone


def lasts_too_long(size_bytes: int, rate_bytes_per_s: float) -> bool:
    """Whether one pass over so much takes longer than it should."""
    return size_bytes / rate_bytes_per_s > PASS_MAX_S


class Reason(StrEnum):
    """What is wrong with an entry."""

    BYTES = "bytes"  # an extent differs from its sum
    UNREADABLE = "unreadable"  # the disk does not give an extent back
    SIZE = "size"  # the file is shorter or longer than the image
    SUMS = "sums"  # the sums are missing, or not as many as there are extents


@dataclass(frozen=True, slots=True)
class Damage:
    """The first thing found. `extent` counts MiB from the beginning; None if it is none in particular."""

    reason: Reason
    extent: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """An entry to check."""

    key: str
    path: Path
    sums_path: Path
    size_bytes: int


class Interrupted(Exception):
    """The check was ended on purpose; nothing is known of the entry."""


class Throttle:
    """How long to wait so that no more than `rate_bytes_per_s` are read on average. Pure; what was not used is lost."""

    def __init__(self, rate_bytes_per_s: float) -> None:
        assert rate_bytes_per_s > 0
        self._rate_bytes_per_s = rate_bytes_per_s
        self._free_s: float | None = None

    def wait_s(self, size_bytes: int, now_s: float) -> float:
        """Take the turn to read `size_bytes`, which begins after this wait."""
        begin_s = now_s if self._free_s is None else max(now_s, self._free_s)
        self._free_s = begin_s + size_bytes / self._rate_bytes_per_s
        return begin_s - now_s


class Limiter:
    """A throttle that waits. Ends at once when `stop` is set, in mid-wait too."""

    def __init__(self, rate_bytes_per_s: float, stop: threading.Event) -> None:
        self._throttle, self._stop = Throttle(rate_bytes_per_s), stop

    def __call__(self, size_bytes: int) -> bool:
        """Wait until so many bytes may be read; False: read nothing more."""
        return not self._stop.wait(self._throttle.wait_s(size_bytes, time.monotonic()))


def check_entry(
    suspect: Suspect,
    may_read: Callable[[int], bool],
    operation: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Damage | None:
    """Read the whole entry from the disk; None if every extent is as it was written.

    `may_read` is asked before each extent, may wait, and says False to end the check. `operation` is put around each
    call of the disk. The caller keeps the entry from being removed meanwhile: else its sums may be gone first.

    Raises FileNotFoundError if there is no such entry, Interrupted, and OSError for what is no fault of one extent.
    """
    with operation():
        file = EntryFile(suspect.path)
    with file:
        if file.size_bytes != suspect.size_bytes:
            return Damage(Reason.SIZE)
        with operation():
            sums = _read_sums(suspect.sums_path)
        if sums is None or len(sums) != sums_bytes(suspect.size_bytes):
            return Damage(Reason.SUMS)
        for extent in range(len(sums) // SUM_BYTES):
            length = min(EXTENT_BYTES, suspect.size_bytes - extent * EXTENT_BYTES)
            if not may_read(length):
                raise Interrupted
            if (reason := _check_extent(file, extent, length, sums, operation)) is not None:
                return Damage(reason, extent)
    return None


def _check_extent(
    file: EntryFile, extent: int, length: int, sums: bytes, operation: Callable[[], AbstractContextManager[object]]
) -> Reason | None:
    try:
        with operation():
            got_bytes = file.read(extent * EXTENT_BYTES, length)
    except OSError as error:
        if error.errno in _UNREADABLE:
            return Reason.UNREADABLE
        raise
    if got_bytes != length:
        return Reason.SIZE
    (expected,) = struct.unpack_from("<Q", sums, extent * SUM_BYTES)
    return None if file.digest(length) == expected else Reason.BYTES


def _read_sums(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


class Scrubber:
    """Checks many entries, slowly, in the order given.

    When an entry was last found good stands in the modification time of its sums: it outlives every process, is seen
    by all of them, and an entry that was just written, and so just checked, has it too.
    """

    def __init__(
        self,
        may_read: Callable[[int], bool],
        *,
        hold: Callable[[Suspect], AbstractContextManager[object]] = nullcontext,
        operation: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        """`may_read` is a Limiter as a rule. `hold` keeps an entry in its place; FileNotFoundError from it: it is gone.

        `operation` is put around each call of the disk.
        """
        self._may_read, self._hold, self._operation = may_read, hold, operation

    def run(self, suspects: Iterable[Suspect], report: Callable[[Suspect, Damage | None], None]) -> bool:
        """One pass; False if `may_read` ended it. `report` is called for each entry, outside of `hold`.

        Entries that are gone meanwhile are passed over. Raises OSError when the disk fails as a whole.
        """
        for suspect in suspects:
            try:
                with self._hold(suspect):
                    damage = check_entry(suspect, self._may_read, self._operation)
                    if damage is None:
                        with self._operation():
                            os.utime(suspect.sums_path)
            except FileNotFoundError:
                continue
            except Interrupted:
                return False
            report(suspect, damage)
        return True
