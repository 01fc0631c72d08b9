"""The circuits of one store: one for each peer that its locations lead to, and the same in all workers."""

import random
import time
from collections import OrderedDict

import structlog

from upstream.errors import NotAsked, Unavailable, Unproved, UpstreamError
from upstream.retry import slot_s
from upstream.stores.guard.circuit import Admission, Circuit, Refusal, State
from upstream.stores.guard.config import GuardConfig
from upstream.stores.guard.numbers import Numbers
from upstream.stores.guard.row import Row
from upstream.stores.notices import Notice, Notices, key_of

log = structlog.get_logger()

_PEERS_MAX = 1024


class Circuits:
    """Knows what an error means for a circuit, and tells when one opens or closes."""

    def __init__(self, store_id: str, config: GuardConfig, numbers: Numbers, notices: Notices) -> None:
        self._id, self._config, self._numbers = store_id, config, numbers
        self.notices = notices
        self._circuits: OrderedDict[str, Circuit] = OrderedDict()

    def line(self, peer: str, place: str) -> "Line":
        """For one request about `place` to `peer`."""
        circuit = self._circuits.get(peer)
        if circuit is None:
            circuit = self._circuits[peer] = Circuit(
                Row(self.notices, self._config.circuit_failures_max or 0, self._id, peer),
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

    def key(self, peer: str) -> bytes:
        """By which the workers know the circuit."""
        return key_of("circuit", self._id, peer)

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
    """One request and its circuit, which hears what became of it once.

    What the circuit knows is told to the other workers, and learned from them; that it probes is claimed among them,
    and the failures that open it are counted in one row.
    """

    def __init__(self, circuits: Circuits, circuit: Circuit, peer: str, place: str) -> None:
        self._circuits, self._circuit, self._peer, self._place = circuits, circuit, peer, place
        self._notices, self._key = circuits.notices, circuits.key(peer)
        self._admission: Admission | None = None
        self._is_claimed = False

    def check(self, *, insist: bool) -> None:
        """Raises NotAsked if the store is not to be asked now: before a slot is waited for."""
        self._learn()
        if (refusal := self._circuit.refusal(time.monotonic(), insist=insist)) is not None:
            raise self._circuits.refused(refusal)

    def begin(self, *, insist: bool) -> None:
        """The store is asked now. Raises NotAsked."""
        self.check(insist=insist)
        if self._circuit.state is not State.CLOSED:
            if not self._notices.claim(self._key, time.monotonic()):
                raise self._circuits.refused(Refusal(slot_s(1, 0)))
            self._is_claimed = True
            self._learn()  # of who had it before
        before = self._circuit.state
        answer = self._circuit.admit(time.monotonic(), insist=insist)
        self._show(before)
        if isinstance(answer, Refusal):
            self._give_back()
            raise self._circuits.refused(answer)
        self._admission = answer
        if not answer.is_probe:
            self._give_back()
        elif self._circuit.was_insisted:
            self._tell()

    def answered(self) -> None:
        """The store said something that makes sense. What fails after that is a failure of its own."""
        if self._admission is not None:
            before = self._circuit.state
            self._circuit.succeeded(self._admission)
            self._settle(before)

    def failed(self, error: Exception) -> None:
        """That an object is not there, or the caller may not, is an answer like another."""
        if self._admission is None:
            return
        if isinstance(error, Unproved) or (isinstance(error, UpstreamError) and not isinstance(error, Unavailable)):
            self.answered()
            return
        asked_s = error.retry_after_s if isinstance(error, Unavailable) else None
        self._learn()
        before = self._circuit.state
        self._circuit.failed(self._admission, time.monotonic(), self._place, asked_s)
        self._settle(before)

    def end(self) -> None:
        """The caller is gone, whatever he had of it."""
        if self._admission is not None:
            before = self._circuit.state
            self._circuit.given_up(self._admission)
            self._settle(before)
        self._give_back()

    def _settle(self, before: State) -> None:
        """Tell the others what has changed, then let them probe."""
        after = self._circuit.state
        if after is before:
            return
        if after is State.CLOSED:
            self._notices.remove(self._key)
        else:
            self._tell()
        self._show(before)
        self._give_back()

    def _tell(self) -> None:
        circuit = self._circuit
        told = Notice(failures=circuit.openings, until_s=circuit.until_s, word=circuit.was_insisted)
        self._notices.write(self._key, told)

    def _learn(self) -> None:
        told, circuit = self._notices.read(self._key), self._circuit
        if told is None and not circuit.openings:
            return
        before = circuit.state
        if told is None:
            circuit.learn(0, 0.0, was_insisted=False)
        else:
            circuit.learn(told.failures, told.until_s, was_insisted=bool(told.word))
        self._show(before)

    def _give_back(self) -> None:
        if self._is_claimed:
            self._is_claimed = False
            self._notices.give_back(self._key)

    def _show(self, before: State) -> None:
        if (after := self._circuit.state) is not before:
            self._circuits.show(self._peer, before, after)
