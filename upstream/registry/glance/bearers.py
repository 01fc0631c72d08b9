"""Whose tokens may be shown to Glance for which image: those of the callers that wait for it now.

Glint has no credentials of its own here. A fill goes on with the token of whoever began it; when that expires before
the fill ends, another one who waits for the same image, and whom Glance let have it, lends his.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

_KEPT_S = 900.0
_KEPT_MAX = 1024


@dataclass(frozen=True, slots=True, eq=False)
class Bearer:
    """What one caller showed of himself: headers as he sent them, never printed."""

    headers: Mapping[str, str] = field(repr=False)


class Bearers:
    """In memory only, and never shown to others than the Glance that they were meant for."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lent: dict[str, list[Bearer]] = {}
        self._kept: OrderedDict[str, tuple[float, Bearer]] = OrderedDict()

    @contextmanager
    def lent(self, image_id: str, bearer: Bearer) -> Iterator[None]:
        """For as long as its owner waits for the image."""
        lent = self._lent.setdefault(image_id, [])
        lent.append(bearer)
        try:
            yield
        finally:
            lent.remove(bearer)
            if not lent:
                del self._lent[image_id]

    def keep(self, image_id: str, bearer: Bearer) -> None:
        """For a quarter of an hour: an operator asks for an image, and asks again how far it is, but does not wait."""
        self._kept[image_id] = (self._clock() + _KEPT_S, bearer)
        self._kept.move_to_end(image_id)
        while len(self._kept) > _KEPT_MAX:
            self._kept.popitem(last=False)

    def of(self, image_id: str) -> list[Bearer]:
        """Those who may be asked for, whoever came last first: his token is likely to be good for longest."""
        until_s, kept = self._kept.get(image_id, (0.0, None))
        found = list(reversed(self._lent.get(image_id, ())))
        return [*found, kept] if kept is not None and until_s > self._clock() else found

    def known(self) -> frozenset[str]:
        """The images that somebody lends a token for."""
        now_s = self._clock()
        return frozenset({*self._lent, *(key for key, (until_s, _) in self._kept.items() if until_s > now_s)})
