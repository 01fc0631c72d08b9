"""Into which parts a large object is cut. Pure.

S3 takes up to 10,000 parts of at least 5 MiB. What is held in memory for one upload stays within `HELD_MAX_BYTES`: of a
size that is known a part too large for that is passed on as it comes; of an unknown size it cannot be, as each part's
length has to be told first, so parts grow up to that limit.
"""

from dataclasses import dataclass

from upstream.errors import LimitExceeded

HELD_MAX_BYTES = 64 * 1024 * 1024
PARTS_MAX = 10_000
_GROW_EVERY = 500  # parts of one size, then twice the size: more than 500 GiB of unknown size, from 10 MiB on


@dataclass(frozen=True, slots=True)
class Part:
    """`size_bytes` at most, where it is held; exactly, where it `is_streamed`."""

    number: int
    size_bytes: int
    is_streamed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    chunk_bytes: int
    size_bytes: int | None

    def part(self, number: int, sent_bytes: int) -> Part:
        """The part with this number, from 1 on, of what follows `sent_bytes`. Raises LimitExceeded."""
        if number > PARTS_MAX:
            raise LimitExceeded(
                f"the data are larger than {sent_bytes} bytes, the most that fits in {PARTS_MAX} parts when their size "
                "is not announced"
            )
        left_bytes = (self.size_bytes or 0) - sent_bytes
        if left_bytes > 0:
            step_bytes = max(self.chunk_bytes, -(-(self.size_bytes or 0) // PARTS_MAX))
            if step_bytes * 2 > HELD_MAX_BYTES:  # one cannot be sent while the next one is gathered
                return Part(number, min(step_bytes, left_bytes), is_streamed=True)
            return Part(number, step_bytes)
        return Part(number, min(self.chunk_bytes << (number - 1) // _GROW_EVERY, HELD_MAX_BYTES))
