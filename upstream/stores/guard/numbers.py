"""What one store's guard counts. Series are looked up once: that costs more than counting."""

from prometheus_client import Counter, Gauge, Histogram

from metrics import Instruments
from upstream.stores.guard.circuit import State
from upstream.stores.guard.purposes import PURPOSES, Purpose


class Numbers:
    """The instruments of one store."""

    def __init__(self, store_id: str, instruments: Instruments) -> None:
        self._id, self._instruments = store_id, instruments
        self._seconds: dict[tuple[str, str], Histogram] = {}
        self._requests: dict[tuple[str, str], Counter] = {}
        self._in_flight = self._by_purpose(instruments.store_in_flight)
        self._waiting = self._by_purpose(instruments.store_waiting)
        self._read_bytes = instruments.store_bytes.labels(store_id, "read")
        self._written_bytes = instruments.store_bytes.labels(store_id, "write")
        self._states: dict[str, State] = {}
        self.show_circuit("", State.CLOSED)

    def holding(self, purpose: Purpose, change: int) -> None:
        self._in_flight[purpose].inc(change)

    def waiting(self, purpose: Purpose, change: int) -> None:
        self._waiting[purpose].inc(change)

    def took(self, operation: str, phase: str, seconds: float) -> None:
        series = self._seconds.get((operation, phase))
        if series is None:
            series = self._instruments.store_seconds.labels(self._id, operation, phase)
            self._seconds[operation, phase] = series
        series.observe(seconds)

    def ended(self, operation: str, result: str) -> None:
        series = self._requests.get((operation, result))
        if series is None:
            series = self._instruments.store_requests.labels(self._id, operation, result)
            self._requests[operation, result] = series
        series.inc()

    def timed_out(self, operation: str, phase: str) -> None:
        self._instruments.store_timeouts.labels(self._id, operation, phase).inc()

    def moved(self, operation: str, size_bytes: int) -> None:
        (self._read_bytes if operation == "read" else self._written_bytes).inc(size_bytes)

    def limited(self, operation: str, seconds: float) -> None:
        self._instruments.store_limited_seconds.labels(self._id, operation).inc(seconds)

    def refused(self) -> None:
        self._instruments.store_refusals.labels(self._id).inc()

    def show_circuit(self, peer: str, state: State) -> None:
        """The worst of the store's circuits is shown."""
        if state is State.CLOSED:
            self._states.pop(peer, None)
        else:
            self._states[peer] = state
        self._instruments.store_circuit.labels(self._id).set(max(self._states.values(), default=State.CLOSED))

    def _by_purpose(self, gauge: Gauge) -> dict[Purpose, Gauge]:
        return {purpose: gauge.labels(self._id, purpose) for purpose in PURPOSES}
