"""How many requests at once: found by what they bring, kept when found, and shared among those who read."""

import random
from collections.abc import Callable
from itertools import pairwise

import pytest

from tests.content import MIB
from upstream.stores.parallel.budget import Budget
from upstream.stores.parallel.depth import Climb, Epoch, Meter

Speed = Callable[[int], float]
"""MiB/s that so many requests at once bring."""


def climbed(climb: Climb, speed: Speed, epochs: int, *, taken: float = 1e9, noise: float = 0.0) -> list[int]:
    """The depth of each epoch. Who takes `taken` MiB/s at most waits for nothing that comes quicker."""
    chance = random.Random(7)
    depths = []
    for _ in range(epochs):
        depths.append(climb.depth)
        brought = min(speed(climb.depth), taken)
        starved = max(0.0, 1 - speed(climb.depth) / taken) if taken < 1e9 else 0.9
        climb.judge(Epoch(brought * (1 + chance.uniform(-noise, noise)), starved))
    return depths


def changes(depths: list[int]) -> int:
    return sum(before != after for before, after in pairwise(depths))


@pytest.mark.parametrize(
    ("limit", "best"),
    [(50, {1}), (100, {2}), (200, {4}), (1000, {16}), (150, {2, 4}), (330, {4, 8})],
)
def test_it_finds_where_more_brings_no_more_and_stays_there(limit: int, best: set[int]) -> None:
    """One request brings 50 MiB/s, several that many times as much, up to the limit."""
    depths = climbed(Climb(16), lambda depth: min(50.0 * depth, limit), 1000, noise=0.05)

    assert set(depths[8:12]) <= best | {2 * max(best)}
    assert sum(depth in best for depth in depths) > 950
    assert changes(depths) < 30


def test_no_more_than_the_most() -> None:
    assert max(climbed(Climb(6), lambda depth: 50.0 * depth, 200)) == 6


def test_who_takes_slowly_is_read_for_by_one_request() -> None:
    assert climbed(Climb(16), lambda depth: 50.0 * depth, 100, taken=1.0) == [1] * 100


def test_when_the_taker_becomes_slow_the_depth_falls_to_one_without_coming_back() -> None:
    climb = Climb(16)
    climbed(climb, lambda depth: 50.0 * depth, 20)
    assert climb.depth == 16

    depths = climbed(climb, lambda depth: 50.0 * depth, 200, taken=10.0)

    assert depths[-1] == 1
    assert depths == sorted(depths, reverse=True)


def test_a_store_that_becomes_distant_is_found_out() -> None:
    climb = Climb(16)
    climbed(climb, lambda _: 400.0, 50)
    assert climb.depth == 1

    assert climbed(climb, lambda depth: 50.0 * depth, 100)[-1] == 16


def test_in_pure_noise_it_changes_ever_more_seldom() -> None:
    depths = climbed(Climb(16), lambda _: 400.0, 5000, noise=0.1)

    assert changes(depths[:1000]) < 40
    assert changes(depths[2500:]) < 20


def test_after_a_stumble_there_are_half_as_many_for_a_while() -> None:
    climb = Climb(16)
    climbed(climb, lambda depth: 50.0 * depth, 20)

    climb.stumble()
    depths = climbed(climb, lambda depth: 50.0 * depth, 30)

    assert depths[:8] == [8] * 8
    assert depths[-1] == 16


def test_what_paid_before_is_tried_first() -> None:
    climb = Climb(16, known=12)
    assert (climb.depth, climb.is_guess, climb.is_settled) == (1, True, False)
    assert climbed(climb, lambda depth: 50.0 * min(depth, 12), 3) == [1, 12, 16]
    assert (climb.depth, climb.found) == (12, 12)

    settled = Climb(16, known=1)
    assert settled.is_settled
    assert climbed(settled, lambda depth: 50.0 * depth, 9)[:9] == [1] * 9
    assert settled.depth == 2


def test_an_epoch_has_a_part_for_each_request_and_takes_a_while() -> None:
    meter = Meter(10.0)
    meter.arrived(8 * MIB)
    assert meter.epoch(10.1, 8 * MIB) is None  # too quick to mean much
    assert meter.epoch(10.25, 16 * MIB) is None
    meter.waited(0.05)
    seen = meter.epoch(10.25, 8 * MIB)
    assert seen is not None
    assert (round(seen.bytes_s / MIB), round(seen.starved, 3)) == (32, 0.2)
    assert meter.epoch(11.1, 1) is None  # anew
    assert meter.epoch(11.3, 8 * MIB) == Epoch(0.0, 0.0)  # a second is enough


def test_readers_have_equal_shares_of_the_budget() -> None:
    budget = Budget(reads_max=8, bytes_max=64 * MIB)
    first = budget.enter()
    while budget.admits(first, 8 * MIB):
        first.reads, first.held_bytes = first.reads + 1, first.held_bytes + 8 * MIB
    assert (first.reads, budget.held_bytes) == (8, 64 * MIB)

    second = budget.enter()
    assert not budget.admits(second, 8 * MIB)  # until the first one has handed something out
    first.reads, first.held_bytes = 5, 40 * MIB
    assert not budget.admits(first, 8 * MIB)
    assert budget.admits(second, 8 * MIB)
    second.reads, second.held_bytes = 3, 24 * MIB
    assert not budget.admits(second, 8 * MIB)  # all is given out

    budget.leave(first)
    assert budget.admits(second, 40 * MIB)
    assert not budget.admits(second, 40 * MIB + 1)
    budget.leave(second)
    assert (budget.reads, budget.held_bytes, budget.shares) == (0, 0, [])
