"""Who has to go. Knows keys, sizes and the order of use; no files, no clock."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from cache.errors import CacheFull


@dataclass(frozen=True, slots=True)
class Candidate:
    """One entry as the policy sees it. `charge_bytes` is what removing it gives back."""

    key: str
    charge_bytes: int
    pinned: bool = False
    is_young: bool = False
    used_at_s: float = 0.0


def choose_victims(
    oldest_first: Iterable[Candidate],
    *,
    need_bytes: int,
    free_bytes: int,
    limit_bytes: int,
    read: Collection[str] = (),
) -> list[Candidate]:
    """The entries to remove, oldest first, so that `need_bytes` fit; none if they fit already.

    `free_bytes` is the limit less everything used and promised; it is negative when the limit was lowered. What is
    being `read` gives nothing back and stays. Stops reading `oldest_first` as soon as there is room, so a long index
    costs nothing.

    Raises CacheFull if removing everything that may go would not be enough: then nothing should be removed at all.
    """
    victims: list[Candidate] = []
    for candidate in oldest_first:
        if free_bytes >= need_bytes:
            break
        if not candidate.pinned and candidate.key not in read:
            victims.append(candidate)
            free_bytes += candidate.charge_bytes
    if free_bytes < need_bytes:
        raise CacheFull(need_bytes, limit_bytes)
    return victims


def next_to_go(oldest_first: Iterable[Candidate], *, read: Collection[str] = ()) -> Candidate | None:
    """The entry that goes before room is needed: never a pinned, a young or a read one."""
    for candidate in oldest_first:
        if candidate.is_young:
            return None  # those behind it are as young, or were used again
        if not candidate.pinned and candidate.key not in read:
            return candidate
    return None
