"""Which parts of images the other workers were asked for: a ring of records in memory for each, that it alone writes.

Everybody reads the rings of all others from where he stopped, so that each worker counts what was asked of any. No disk
has a part in it; it goes with the last worker, and who replaces one that died goes on in its ring. Nobody waits for
anybody: a record that is just being written fails its check, and is read the next time. Keys are hashes. Who reads too
seldom misses what was overwritten, which counts as not asked for.
"""

import hashlib
import mmap
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cache.range_policy import HISTORY_WINDOW_S, RangeHistory
from cache.types import Span

RING_RECORDS = 512
_NEWS_MAX = 64  # of one ring at once: some milliseconds of the loop
_RECORD = struct.Struct("<Q16sQQd")
_CHECK = struct.Struct("<I")
_RECORD_BYTES = 56
_RING_BYTES = RING_RECORDS * _RECORD_BYTES


@dataclass(frozen=True, slots=True)
class RangeTable:
    """Of `new_range_table`, and which of its rings is ours: one process's at a time."""

    fd: int
    ring: int


def new_range_table(workers: int) -> int:
    """The descriptor of an empty table, for so many workers to inherit."""
    fd = os.memfd_create("glint-ranges")
    os.ftruncate(fd, workers * _RING_BYTES)
    return fd


@dataclass(frozen=True, slots=True)
class Record:
    """`span` of what `name` stands for was asked for; an empty one: a fill was started, and all before is forgotten."""

    number: int  # from 1 on, in each ring
    name: bytes
    span: Span
    at_s: float


class RangeLog:
    """One worker's hold on the table, which stays the caller's. None: a new one, that no other process has."""

    def __init__(self, table: RangeTable | None = None) -> None:
        fd = new_range_table(1) if table is None else table.fd
        try:
            self._memory = mmap.mmap(fd, os.fstat(fd).st_size)
        finally:
            if table is None:
                os.close(fd)
        self._own = 0 if table is None else table.ring
        self._seen = [0] * (len(self._memory) // _RING_BYTES)
        self._next = 1 + max((record.number for record in self._ring(self._own)), default=0)

    def close(self) -> None:
        self._memory.close()

    def add(self, name: bytes, span: Span, at_s: float) -> None:
        record = _RECORD.pack(self._next, name, span.start, span.stop, at_s)
        at = self._place(self._own, self._next)
        self._memory[at : at + _RECORD_BYTES] = (record + _CHECK.pack(zlib.crc32(record))).ljust(_RECORD_BYTES, b"\0")
        self._next += 1
        self._seen[self._own] = self._next - 1

    def news(self, records_max: int) -> list[Record]:
        """What others have written since this was last called, no more than so much of each, by time."""
        found = [record for ring in range(len(self._seen)) for record in self._news_of(ring, records_max)]
        return sorted(found, key=lambda record: record.at_s)

    def _news_of(self, ring: int, records_max: int) -> Iterator[Record]:
        for _ in range(records_max):
            record = self._read(self._place(ring, self._seen[ring] + 1))
            if record is None or record.number <= self._seen[ring]:
                return
            self._seen[ring] = record.number  # not the next one if the ring went round meanwhile
            yield record

    def _ring(self, ring: int) -> Iterator[Record]:
        for number in range(RING_RECORDS):
            if (record := self._read(self._place(ring, number))) is not None:
                yield record

    def _read(self, at: int) -> Record | None:
        data = self._memory[at : at + _RECORD.size]
        (check,) = _CHECK.unpack_from(self._memory, at + _RECORD.size)
        number, name, start, stop, at_s = _RECORD.unpack(data)
        return Record(number, name, Span(start, stop), at_s) if number and check == zlib.crc32(data) else None

    @staticmethod
    def _place(ring: int, number: int) -> int:
        return ring * _RING_BYTES + number % RING_RECORDS * _RECORD_BYTES


class SharedHistory:
    """A `RangeHistory` of what all workers were asked for. `monotonic` is a clock that all of them share."""

    def __init__(self, log: RangeLog, monotonic: Callable[[], float]) -> None:
        self._log, self._monotonic = log, monotonic
        self._history = RangeHistory()
        self._catch_up(monotonic(), RING_RECORDS)

    def add(self, key: str, span: Span) -> int:
        """Remember a range, and say how many different bytes of the image were asked for lately, these included."""
        now_s, name = self._monotonic(), _name_of(key)
        self._catch_up(now_s)
        if span.length:
            self._log.add(name, span, now_s)
        return self._history.add(name.hex(), span, now_s)

    def forget(self, key: str) -> None:
        """A fill was started: what led to it must not lead to the next one after an eviction, in no worker."""
        now_s, name = self._monotonic(), _name_of(key)
        self._catch_up(now_s)
        self._log.add(name, Span(0, 0), now_s)
        self._history.forget(name.hex())

    def _catch_up(self, now_s: float, records_max: int = _NEWS_MAX) -> None:
        for record in self._log.news(records_max):
            if not record.span.length:
                self._history.forget(record.name.hex())
            elif now_s - record.at_s < HISTORY_WINDOW_S:
                self._history.add(record.name.hex(), record.span, record.at_s)


def _name_of(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()[:16]
