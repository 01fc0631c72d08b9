"""How entries are ranked for leaving: pure descriptions, which the index obeys and `glint cache simulate` compares.

Entries lie in segments, numbered from 0. A new one begins in segment 0; a hit moves it one segment on, as the most
recent there. What a segment holds beyond its part of the space falls back, the least recent first, and is the most
recent one below. Victims come from segment 0, the least recent first, and from the next only if nothing is left there.

So what is read once goes before what was used again, however much is read once: see `slru`.

Source: Karedla, Love, Wherry, "Caching strategies to improve disk system performance", 1994 (segmented LRU).
"""

from collections.abc import Mapping
from dataclasses import dataclass

SEGMENTS_MAX = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """`shares_percent`: what part of the space each segment after the first may hold; the first takes the rest."""

    shares_percent: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        assert len(self.shares_percent) < SEGMENTS_MAX
        assert sum(self.shares_percent) <= 100

    def part_bytes(self, segment: int, space_bytes: int) -> int:
        """What `segment` may hold of a space, which is the limit less what is pinned. 0 if the policy has no such."""
        if not 1 <= segment <= len(self.shares_percent):
            return 0
        return max(0, space_bytes) * self.shares_percent[segment - 1] // 100

    def after_hits(self, segment: int, hits: int, *, charge_bytes: int, space_bytes: int) -> int:
        """Where an entry belongs that was in `segment` before these hits.

        What is larger than a segment's part stays below it: it would push out all that is there, and then itself.
        """
        while hits > 0 and charge_bytes <= self.part_bytes(segment + 1, space_bytes):
            segment, hits = segment + 1, hits - 1
        return segment


POLICIES: Mapping[str, Policy] = {
    # A fifth is always left to new images, so that one is not gone before anybody can ask for it again.
    "slru": Policy(shares_percent=(80,)),
    "lru": Policy(),
}
