"""What the workers of one supervisor share: tables in memory, by inherited descriptors."""

from dataclasses import dataclass

from cache import RangeTable


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """`notices`: what the stores refused (`upstream.stores.new_table`). `ranges`: which parts were asked for."""

    notices: int
    ranges: RangeTable
