"""The circuits of one store: one for each peer that its locations lead to."""

import random
import time
from collections import OrderedDict

import structlog

from upstream.errors import NotAsked, Unavailable, Unproved, UpstreamError
from upstream.stores.guard.circuit import Admission, Circuit, Refusal, State
from upstream.stores.guard.config import GuardConfig
from upstream.stores.guard.numbers import Numbers

log = structlog.get_logger()

_PEERS_MAX = 1024


class Circuits:
    """Knows what an error means for a circuit, and tells when one opens or closes."""

    def __init__(self, store_id: str, config: GuardConfig, numbers: Numbers) -> None:
        self._id, self._config, self._numbers = store_id, config, numbers
        self._circuits: OrderedDict[str, Circuit] = OrderedDict()

    def line(self, peer: str, place: str) -> "Line":
        """For one request about `place` to `peer`."""
        circuit = self._circuits.get(peer)
        if circuit is None:
            circuit = self._circuits[peer] = Circuit(
                failures_max=self._config.circuit_failures_max,
                window_s=self._config.circuit_window_s,
                open_max_s=self._config.circuit_open_max_s,
                jitter=random.random,
            )
            if len(self._circuits) > _PEERS_MAX:
                gone, _ = self._circuits.popitem(last=False)
                self._numbers.show_circuit(gone, State.CLOSED)
        self._circuits.move_to_end(peer)
        return Line(self, circuit, peer, place)

    def refused(self, refusal: Refusal) -> NotAsked:
        self._numbers.refused()
        return NotAsked(self._id, "it failed several times in a row", refusal.retry_after_s)

    def show(self, peer: str, before: State, after: State) -> None:
        if self._circuits.get(peer) is not None:
            self._numbers.show_circuit(peer, after)
        if after is State.OPEN and before is State.CLOSED:
            log.warning("store.circuit_opened", store=self._id)
        elif after is State.CLOSED:
            log.info("store.circuit_closed", store=self._id)


class Line:
    """One request and its circuit, which hears what became of it once."""

    def __init__(self, circuits: Circuits, circuit: Circuit, peer: str, place: str) -> None:
        self._circuits, self._circuit, self._peer, self._place = circuits, circuit, peer, place
        self._admission: Admission | None = None

    def check(self, *, insist: bool) -> None:
        """Raises NotAsked if the store is not to be asked now: before a slot is waited for."""
        if (refusal := self._circuit.refusal(time.monotonic(), insist=insist)) is not None:
            raise self._circuits.refused(refusal)

    def begin(self, *, insist: bool) -> None:
        """The store is asked now. Raises NotAsked."""
        before = self._circuit.state
        answer = self._circuit.admit(time.monotonic(), insist=insist)
        self._show(before)
        if isinstance(answer, Refusal):
            raise self._circuits.refused(answer)
        self._admission = answer

    def answered(self) -> None:
        """The store said something that makes sense. What fails after that is a failure of its own."""
        if self._admission is not None:
            before = self._circuit.state
            self._circuit.succeeded(self._admission)
            self._show(before)

    def failed(self, error: Exception) -> None:
        """That an object is not there, or the caller may not, is an answer like another."""
        if self._admission is None:
            return
        if isinstance(error, Unproved) or (isinstance(error, UpstreamError) and not isinstance(error, Unavailable)):
            self.answered()
            return
        asked_s = error.retry_after_s if isinstance(error, Unavailable) else None
        before = self._circuit.state
        self._circuit.failed(self._admission, time.monotonic(), self._place, asked_s)
        self._show(before)

    def end(self) -> None:
        """The caller is gone, whatever he had of it."""
        if self._admission is not None:
            before = self._circuit.state
            self._circuit.given_up(self._admission)
            self._show(before)

    def _show(self, before: State) -> None:
        if (after := self._circuit.state) is not before:
            self._circuits.show(self._peer, before, after)
