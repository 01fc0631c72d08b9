"""Which folder of a store takes the next image. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """`free_bytes` is what may still be written there: less than is free, where some has to stay free."""

    priority: int
    free_bytes: int


def ranked(rooms: Sequence[Room], needed_bytes: int) -> list[int]:
    """Places in `rooms` of those that have room, the best first: by priority, among equal ones by room, then by order.

    Source: glance_store/_drivers/filesystem.py, _find_best_datadir, which takes the first of these.
    """
    fitting = [place for place, room in enumerate(rooms) if room.free_bytes >= max(needed_bytes, 1)]
    return sorted(fitting, key=lambda place: (-rooms[place].priority, -rooms[place].free_bytes))
