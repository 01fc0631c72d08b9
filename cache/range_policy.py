"""How a part of an image is answered while the image is not in the cache. Pure: times are monotonic seconds.

A client that asks for a part should wait no longer than the store itself would let it wait, and a part that many want
should not be read from the store again and again. Between the two decides an estimate of how soon a fill is there.
"""

from bisect import bisect_left, bisect_right
from collections import OrderedDict, deque
from dataclasses import dataclass
from enum import Enum, auto
from math import inf

from cache.types import MIB, Span

# What a fill that was not measured yet is taken to bring per second. Low for a store: too low costs it one more read,
# too high keeps a client waiting longer than `range_wait_s`.
UNMEASURED_RATE_BYTES = 32 * MIB
# Who wants no more than this from the front looks at the image's format, and may never want the rest.
HEADER_BYTES = MIB
HISTORY_WINDOW_S = 600.0
HISTORY_KEYS_MAX = 256
HISTORY_PARTS_MAX = 256  # of one image
RATE_WINDOW_S = 5.0

_SAMPLE_EVERY_S = 0.1
_RATE_AFTER_S = 0.2  # less says more about the store's first answer than about its speed
_STAMP_EVERY_S = 60.0  # parts asked for in the same minute are remembered as of one time


class Answer(Enum):
    """What to do about a range."""

    READ = auto()  # its first byte is there: serve it from the fill
    WAIT = auto()  # follow the fill until it gets there
    DIRECT = auto()  # read this range from the store, past the cache
    FILL = auto()  # start a fill, then decide again, as for a running one: a far range is still answered at once


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeLimits:
    """From the `cache:` section."""

    range_wait_s: float
    range_fill_percent: int


def decide_while_filling(
    span: Span,
    limits: RangeLimits,
    *,
    watermark_bytes: int,
    rate_bytes_per_s: float | None,
    is_read_free: bool,
) -> Answer:
    """For an image that a fill is bringing. READ, WAIT or DIRECT.

    `rate_bytes_per_s` None: not measured yet; 0: the fill stands still, so only a direct read helps.
    `is_read_free`: whether the budget of direct reads has room; without it even a long wait is a wait.
    """
    if span.start < watermark_bytes:
        return Answer.READ
    rate = UNMEASURED_RATE_BYTES if rate_bytes_per_s is None else rate_bytes_per_s
    wait_s = (span.start - watermark_bytes) / rate if rate > 0 else inf
    if wait_s <= limits.range_wait_s or not is_read_free:
        return Answer.WAIT
    return Answer.DIRECT


def decide_when_absent(
    span: Span, limits: RangeLimits, *, size_bytes: int, asked_bytes: int, is_read_free: bool
) -> Answer:
    """For an image that is neither in the cache nor on its way. FILL or DIRECT.

    `asked_bytes`: how much of the image was asked for lately, this range included (`RangeHistory.add`). A range from
    the front starts a fill, because who reads the first megabytes mostly reads on; a look at the header does not.
    Without room for a direct read a fill is started too: it costs the store one read as well, and serves everybody.
    """
    if span.start == 0 and span.stop > min(HEADER_BYTES, size_bytes - 1):
        return Answer.FILL
    if asked_bytes * 100 >= limits.range_fill_percent * size_bytes:
        return Answer.FILL
    return Answer.DIRECT if is_read_free else Answer.FILL


@dataclass(frozen=True, slots=True)
class _Part:
    start: int
    stop: int
    asked_s: float


class RangeHistory:
    """Which parts of which images were asked for in the last ten minutes. Bounded: it forgets what it cannot hold.

    What is forgotten counts as not asked for, so a fill starts later than it could, never for nothing.
    """

    def __init__(self) -> None:
        self._images: OrderedDict[str, _Parts] = OrderedDict()  # the least recently asked one first

    def __len__(self) -> int:
        return len(self._images)

    def add(self, key: str, span: Span, now_s: float) -> int:
        """Remember a range, and say how many different bytes of the image were asked for lately, these included.

        Parts expire up to a minute early, because a minute's parts are remembered as of its beginning.
        """
        parts = self._images[key] = self._images.pop(key) if key in self._images else _Parts()
        parts.expire(now_s)
        if span.length:
            parts.add(_Part(span.start, span.stop, now_s - now_s % _STAMP_EVERY_S))
        if len(self._images) > HISTORY_KEYS_MAX:
            self._images.popitem(last=False)
        return parts.size_bytes

    def forget(self, key: str) -> None:
        """A fill was started: what led to it must not lead to the next one after an eviction."""
        self._images.pop(key, None)


class _Parts:
    """Of one image, in order and without overlap. What is far from a new part is not looked at for it."""

    def __init__(self) -> None:
        self.size_bytes = 0
        self._parts: list[_Part] = []
        self._oldest_s = inf

    def expire(self, now_s: float) -> None:
        if now_s - self._oldest_s >= HISTORY_WINDOW_S:
            self._parts = [part for part in self._parts if now_s - part.asked_s < HISTORY_WINDOW_S]
            self._oldest_s = min((part.asked_s for part in self._parts), default=inf)
            self.size_bytes = _size_bytes(self._parts)

    def add(self, new: _Part) -> None:
        first = bisect_left(self._parts, new.start, key=lambda part: part.stop)
        last = bisect_right(self._parts, new.stop, lo=first, key=lambda part: part.start)
        near = self._parts[first:last]
        changed = _with(near, new)
        self._parts[first:last] = changed
        self.size_bytes += _size_bytes(changed) - _size_bytes(near)
        self._oldest_s = min(self._oldest_s, new.asked_s)
        if len(self._parts) > HISTORY_PARTS_MAX:
            forgotten = min(self._parts, key=lambda part: (part.asked_s, part.stop - part.start))
            self._parts.remove(forgotten)
            self.size_bytes -= forgotten.stop - forgotten.start


def _size_bytes(parts: list[_Part]) -> int:
    return sum(part.stop - part.start for part in parts)


def _with(parts: list[_Part], new: _Part) -> list[_Part]:
    """The parts in order and without overlap, where `new` replaces what it covers and joins its own minute's."""
    before, after = [], []
    start, stop = new.start, new.stop
    for part in parts:
        if part.asked_s == new.asked_s and part.start <= stop and start <= part.stop:
            start, stop = min(start, part.start), max(stop, part.stop)
            continue
        if part.start < new.start:
            before.append(_Part(part.start, min(part.stop, new.start), part.asked_s))
        if part.stop > new.stop:
            after.append(_Part(max(part.start, new.stop), part.stop, part.asked_s))
    return [*before, _Part(start, stop, new.asked_s), *after]


class FillRate:
    """How fast a fill comes on, by samples of its watermark over the last seconds."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()  # the first one stands at the window's beginning or before

    def sample(self, now_s: float, watermark_bytes: int) -> None:
        """Call as often as you like; a fill taken over at an offset starts there."""
        if len(self._samples) > 1 and now_s - self._samples[-2][0] < _SAMPLE_EVERY_S:
            self._samples.pop()
        self._samples.append((now_s, watermark_bytes))
        while len(self._samples) > 1 and self._samples[1][0] <= now_s - RATE_WINDOW_S:
            self._samples.popleft()

    def bytes_per_s(self, now_s: float) -> float | None:
        """None: too early to tell. 0 once nothing came for the whole window."""
        if not self._samples:
            return None
        while len(self._samples) > 1 and self._samples[1][0] <= now_s - RATE_WINDOW_S:
            self._samples.popleft()
        since_s, from_bytes = self._samples[0]
        if now_s - since_s < _RATE_AFTER_S:
            return None
        return (self._samples[-1][1] - from_bytes) / (now_s - since_s)
