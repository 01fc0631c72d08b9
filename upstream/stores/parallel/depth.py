"""How many requests at once pay for one reader of a store: hill climbing on what arrives. Pure: no clock, no store."""

from dataclasses import dataclass

_STARVED = 0.2  # who waits less of the time than this would gain little by more requests
_SATED = 0.02
_PAYS = (
    1.25  # a step up must bring so much more: it doubles the requests, and where they wait for nothing, less is noise
)
_AS_GOOD = 0.97  # a step down may cost so little
_FIRST_PAUSE, _LONGEST_PAUSE = 8, 512  # epochs
_EPOCH_S, _LONG_EPOCH_S = 0.2, 1.0


@dataclass(frozen=True, slots=True)
class Epoch:
    """What was seen while the depth stayed as it is. `starved`: the share of the time that the reader waited."""

    bytes_s: float
    starved: float


@dataclass(frozen=True, slots=True)
class _Step:
    """What there was before a depth that is being tried."""

    depth: int
    bytes_s: float


class Climb:
    """Doubles the depth while that pays, halves it when nobody waits any more, and takes back what was no gain.

    A step that was taken back is tried again after a pause, which doubles each time: conditions change, and a reader of
    hours must not swing for hours. `known` is what paid for an earlier reader of the same store: it is tried first.
    """

    def __init__(self, depth_max: int, known: int | None = None) -> None:
        self.depth = 1
        self.found: int | None = None  # what paid, once a step up was judged
        self._depth_max, self._known = depth_max, known
        self._before: _Step | None = None
        self._pause = _FIRST_PAUSE
        self._rest = _FIRST_PAUSE if known == 1 else 0  # epochs until the next step

    @property
    def is_settled(self) -> bool:
        """Whether no step is being tried, nor about to be."""
        return self._before is None and self._rest > 0

    @property
    def is_guess(self) -> bool:
        """Whether nothing was seen yet, and another reader knows better: a short look is enough."""
        return self._known is not None and self._known > 1

    def judge(self, epoch: Epoch) -> None:
        """An epoch at this depth is over."""
        before, self._before = self._before, None
        if before is not None:
            self._judge_step(before, epoch)
        elif self._rest > 0:
            self._rest -= 1
        else:
            self._try(epoch)

    def stumble(self) -> None:
        """The store broke or refused a part: fewer at once, and no more for a while."""
        self.depth = max(1, (self.depth if self._before is None else min(self.depth, self._before.depth)) // 2)
        self._before, self._known = None, None
        self._rest = self._pause

    def _judge_step(self, before: _Step, epoch: Epoch) -> None:
        if self.depth > before.depth and epoch.bytes_s >= before.bytes_s * _PAYS:
            self.found, self._pause = self.depth, max(_FIRST_PAUSE, self._pause // 2)
            self._try(epoch)
        elif self.depth < before.depth and epoch.bytes_s >= before.bytes_s * _AS_GOOD:
            self._rest = _FIRST_PAUSE
        else:
            if self.depth > before.depth:
                self.found = before.depth
            self.depth = before.depth
            self._rest = self._pause
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    def _try(self, epoch: Epoch) -> None:
        known, self._known = self._known or 0, None
        if epoch.starved >= _STARVED and self.depth < self._depth_max:
            self._step(min(max(2 * self.depth, known), self._depth_max), epoch)
        elif epoch.starved <= _SATED and self.depth > 1:
            self._step(self.depth // 2, epoch)
        else:
            self._rest = _FIRST_PAUSE

    def _step(self, depth: int, epoch: Epoch) -> None:
        self._before, self.depth = _Step(self.depth, epoch.bytes_s), depth


class Meter:
    """Adds up what arrives and how long the reader waits, and says when that is enough for an `Epoch`.

    An epoch has a part's worth of bytes for each request at once, so that one quick part decides nothing.
    """

    def __init__(self, now_s: float) -> None:
        self._began_s, self._bytes, self._waited_s = now_s, 0, 0.0

    def arrived(self, size_bytes: int) -> None:
        self._bytes += size_bytes

    def waited(self, seconds: float) -> None:
        self._waited_s += seconds

    def epoch(self, now_s: float, enough_bytes: int, *, is_guess: bool = False) -> Epoch | None:
        """What was seen since the last one; None if that is too little yet."""
        took_s = now_s - self._began_s
        is_enough = self._bytes >= enough_bytes and (took_s >= _EPOCH_S or is_guess)
        if not (is_enough or took_s >= _LONG_EPOCH_S) or took_s <= 0:
            return None
        seen = Epoch(self._bytes / took_s, min(1.0, self._waited_s / took_s))
        self.restart(now_s)
        return seen

    def restart(self, now_s: float) -> None:
        self._began_s, self._bytes, self._waited_s = now_s, 0, 0.0
