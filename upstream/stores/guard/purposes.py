"""For whom bytes are read, and that this may change while they are read. Pure."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

Purpose = Literal["demand", "prewarm", "refetch"]
PURPOSES: tuple[Purpose, ...] = ("demand", "prewarm", "refetch")
"""A client waits; somebody will ask; what was found damaged comes back. Who stands further left goes first."""


class Errand:
    """Who wants what one source reads. One for all reads of that source, running or waiting for their turn."""

    def __init__(self, purpose: Purpose = "demand") -> None:
        self.purpose: Purpose = purpose
        self._hearing: list[Callable[[Purpose], None]] = []

    def change(self, purpose: Purpose) -> None:
        """Every read of this source counts as that from here on."""
        if purpose == self.purpose:
            return
        self.purpose = purpose
        for hear in tuple(self._hearing):
            hear(purpose)

    @contextmanager
    def heard_by(self, hear: Callable[[Purpose], None]) -> Iterator[None]:
        """Have `hear` called with each change."""
        self._hearing.append(hear)
        try:
            yield
        finally:
            self._hearing.remove(hear)
