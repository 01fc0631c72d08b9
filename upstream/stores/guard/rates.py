"""What bandwidth limits there are for one direction of a store."""

from collections.abc import Sequence

from upstream.stores.guard.gates import RateGate
from upstream.stores.guard.numbers import Numbers
from upstream.stores.guard.purposes import Errand, Purpose

_BACKGROUND: tuple[Purpose, ...] = ("prewarm", "refetch")


class Rates:
    """The gates that every byte of one direction passes, one after the other."""

    def __init__(self, operation: str, gates: Sequence[RateGate], numbers: Numbers) -> None:
        self._operation, self._gates, self._numbers = operation, gates, numbers

    async def passed(self, size_bytes: int, image: str, errand: Errand) -> None:
        """Return when so many more bytes may be moved."""
        waited_s = 0.0
        for gate in self._gates:
            waited_s += await gate.passed(size_bytes, image, errand)
        if waited_s:
            self._numbers.limited(self._operation, waited_s)

    def pay(self, size_bytes: int, errand: Errand) -> None:
        """For bytes whose reader goes: those who come later wait for them."""
        for gate in self._gates:
            gate.pay(size_bytes, errand)

    def close(self) -> None:
        for gate in self._gates:
            gate.close()


def rates(
    operation: str, numbers: Numbers, rate_bytes_s: int | None, background_bytes_s: int | None = None
) -> Rates | None:
    """None where nothing is limited: then it costs nothing."""
    gates = []
    if background_bytes_s is not None:
        gates.append(RateGate(background_bytes_s, _BACKGROUND))
    if rate_bytes_s is not None:
        gates.append(RateGate(rate_bytes_s))
    return Rates(operation, gates, numbers) if gates else None
