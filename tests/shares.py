"""In which order several workers of pytest-xdist have the least to do.

Each begins with its share of the list, as many tests as the others have, and who has done his takes over what the one
with the longest list has at its end. So the first share is what needs a Keystone, which starts once then, and what
stands on it; and quick tests are at the end of each share, so that the others are not looked for there too early.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def in_shares(
    tests: Sequence[T], shares: int, *, is_first: Callable[[T], bool], is_quick: Callable[[T], bool]
) -> list[T]:
    """All of them: those that are first; then, if there are several shares, quick ones in as many parts as others."""
    ordered = [test for test in tests if is_first(test)]
    rest = [test for test in tests if not is_first(test)]
    if shares < 2:
        return ordered + rest
    quick, slow = [test for test in rest if is_quick(test)], [test for test in rest if not is_quick(test)]
    room = max(0, len(tests) // shares - len(ordered))
    ordered, quick = ordered + quick[:room], quick[room:]
    for part in range(shares - 1):
        ordered += _part(slow, part, shares - 1) + _part(quick, part, shares - 1)
    return ordered


def _part(tests: list[T], number: int, parts: int) -> list[T]:
    return tests[len(tests) * number // parts : len(tests) * (number + 1) // parts]
