"""Who has to go. Knows keys, sizes and the order of use; no files, no clock."""

from collections.abc import Iterable
from dataclasses import dataclass

from cache.errors import CacheFull


@dataclass(frozen=True, slots=True)
class Candidate:
    """One entry as the policy sees it. `charge_bytes` is what removing it gives back."""

    key: str
    charge_bytes: int
    pinned: bool = False


def choose_victims(
    oldest_first: Iterable[Candidate],
    *,
    need_bytes: int,
    free_bytes: int,
    limit_bytes: int,
) -> list[Candidate]:
    """The entries to remove, oldest first, so that `need_bytes` fit; none if they fit already.

    `free_bytes` is the limit less everything used and promised; it is negative when the limit was lowered. Stops
    reading `oldest_first` as soon as there is room, so a long index costs nothing.

    Raises CacheFull if removing everything that may go would not be enough: then nothing should be removed at all.
    """
    victims: list[Candidate] = []
    for candidate in oldest_first:
        if free_bytes >= need_bytes:
            break
        if not candidate.pinned:
            victims.append(candidate)
            free_bytes += candidate.charge_bytes
    if free_bytes < need_bytes:
        raise CacheFull(need_bytes, limit_bytes)
    return victims
