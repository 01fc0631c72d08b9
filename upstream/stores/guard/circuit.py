"""Whether a store is asked at all. Pure: the clock is handed in.

closed ──failures in a row──▶ open ──its back-off is over──▶ half open ──the probe succeeds──▶ closed
                               ▲─────────────the probe fails, the back-off doubles─────────────┘
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from upstream.retry import SLOT_MAX_S, slot_s
from upstream.stores.guard.row import Row


class State(IntEnum):
    """By the numbers that the metric shows."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


@dataclass(frozen=True, slots=True)
class Admission:
    """A request that may be made. What becomes of it counts if the circuit was not opened or closed since."""

    period: int
    is_probe: bool


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that is not to be made, for so long."""

    retry_after_s: float


class Circuit:
    """Opens when `failures_max` requests in a row failed within `window_s`, about two objects at least.

    `row` keeps them, and may be that of several circuits which stand for one: they open as one would. One object that
    always fails is no store that fails: its own back-off (refusals.py) looks after it.
    """

    def __init__(
        self, row: Row, *, failures_max: int | None, window_s: float, open_max_s: float, jitter: Callable[[], float]
    ) -> None:
        self._row, self._failures_max, self._window_s, self._open_max_s = row, failures_max, window_s, open_max_s
        self._jitter = jitter
        self._period = 0
        self._openings = 0  # since it was closed
        self._until_s = 0.0
        self._is_probing = self._was_insisted = False

    @property
    def openings(self) -> int:
        """Since it was closed."""
        return self._openings

    @property
    def until_s(self) -> float:
        """When the back-off is over."""
        return self._until_s

    @property
    def was_insisted(self) -> bool:
        """Whether somebody was the probe of this back-off before it was over."""
        return self._was_insisted

    @property
    def state(self) -> State:
        if not self._openings:
            return State.CLOSED
        return State.HALF_OPEN if self._is_probing else State.OPEN

    def refusal(self, now_s: float, *, insist: bool = False) -> Refusal | None:
        """What a request made now would be told instead; None: it may ask. Changes nothing."""
        if not self._openings:
            return None
        left_s = self._until_s - now_s
        if self._is_probing:
            return Refusal(max(left_s, slot_s(1, 0)))
        if left_s > 0 and not (insist and not self._was_insisted):
            return Refusal(left_s)
        return None

    def admit(self, now_s: float, *, insist: bool = False) -> Admission | Refusal:
        """While it is open, one request is let through when the back-off is over: the probe.

        `insist`, of who reads on in mid-object: once in each back-off, he may be the probe before it is over.
        """
        if (refused := self.refusal(now_s, insist=insist)) is not None:
            return refused
        if not self._openings:
            return Admission(self._period, is_probe=False)
        self._is_probing = True
        self._was_insisted = self._was_insisted or now_s < self._until_s
        return Admission(self._period, is_probe=True)

    def learn(self, openings: int, until_s: float, *, was_insisted: bool) -> None:
        """What another worker found: how often it opened since it was closed, and until when; 0: it is closed.

        While this one probes, what it finds itself is what counts.
        """
        if self._is_probing:
            return
        if openings != self._openings:
            self._begin_period(openings=openings)
        self._until_s, self._was_insisted = until_s, was_insisted

    def succeeded(self, admission: Admission) -> None:
        """The store answered: with data, or with a refusal that is about the object or the caller."""
        if admission.period != self._period:
            return
        self._row.clear()
        if admission.is_probe:
            self._begin_period(openings=0)

    def failed(self, admission: Admission, now_s: float, place: str, retry_after_s: float | None = None) -> None:
        """It did not answer, broke off, or said that it cannot. `place` is what it was asked about."""
        if admission.period != self._period or self._failures_max is None:
            return
        if not admission.is_probe:
            self._row.add(now_s, place)
            if not self._is_enough(now_s):
                return
            self._row.clear()
        self._begin_period(openings=self._openings + 1)
        asked_s = min(retry_after_s or 0.0, SLOT_MAX_S)
        self._until_s = now_s + max(slot_s(self._openings, self._jitter(), max_s=self._open_max_s), asked_s)

    def given_up(self, admission: Admission) -> None:
        """Its caller left before the store had answered: another one may probe."""
        if admission.is_probe and admission.period == self._period:
            self._is_probing = False

    def _is_enough(self, now_s: float) -> bool:
        recent = self._row.since(now_s - self._window_s)
        return len(recent) == self._failures_max and (self._failures_max == 1 or len(set(recent)) > 1)

    def _begin_period(self, *, openings: int) -> None:
        self._period += 1
        self._openings = openings
        self._is_probing = self._was_insisted = False
