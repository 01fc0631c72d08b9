"""The last failures of one peer of a store, in a row over all workers: what opens a circuit."""

import zlib
from collections.abc import Sequence

from upstream.stores.notices import Notice, Notices, key_of


class Row:
    """So many places of the workers' table as failures open the circuit, each with one failure: when, and of what.

    Who writes claims the place first, so that of two workers which fail in the same moment each has one of his own.
    """

    def __init__(self, notices: Notices, failures_max: int, *names: object) -> None:
        """`names` say which circuit it is of, in any worker."""
        self._notices = notices
        self._keys = [key_of("failure", *names, number) for number in range(failures_max)]

    def add(self, now_s: float, place: str) -> None:
        """In the place of the earliest, if there is no other."""
        seen_s = {key: -1.0 if (notice := self._notices.read(key)) is None else notice.until_s for key in self._keys}
        for key in sorted(self._keys, key=seen_s.__getitem__):
            if not self._notices.claim(key, now_s):
                continue
            try:
                notice = self._notices.read(key)
                if notice is None or notice.until_s == seen_s[key]:  # else another has just written
                    self._notices.write(key, Notice(failures=1, until_s=now_s, word=zlib.crc32(place.encode())))
                    return
            finally:
                self._notices.give_back(key)

    def since(self, start_s: float) -> Sequence[int]:
        """Of what the failures were that came no earlier: the same number for the same place."""
        found = [self._notices.read(key) for key in self._keys]
        return [notice.word for notice in found if notice is not None and notice.until_s >= start_s]

    def clear(self) -> None:
        """The row is broken, in all workers."""
        for key in self._keys:
            self._notices.remove(key)
