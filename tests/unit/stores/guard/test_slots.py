"""Who gets a slot: never one too many, never one lost, and nobody for ever without."""

from itertools import count

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from upstream.stores.guard.order import FLOOR_PARTS, Order, Waiter
from upstream.stores.guard.purposes import PURPOSES, Purpose
from upstream.stores.guard.slots import Slots


def line(slots: Slots, purpose: Purpose, images: str) -> list[Waiter]:
    """One waiter for each letter, in this order; all have to wait."""
    waiters = [Waiter(image, purpose) for image in images]
    assert not any(slots.ask(waiter) for waiter in waiters)
    return waiters


def busy(most: int = 1, background_most: int = 1) -> tuple[Slots, list[Waiter]]:
    slots, holders = Slots(most, background_most), [Waiter("busy", "demand") for _ in range(most)]
    assert all(slots.ask(holder) for holder in holders)
    return slots, holders


def let_in(slots: Slots, holder: Waiter) -> str:
    """The images of those who enter one after the other, until nobody waits."""
    images = ""
    while entered := slots.leave(holder):
        (holder,) = entered
        images += holder.image
    return images


def test_demand_goes_before_prewarm_and_that_before_refetch() -> None:
    slots, (holder,) = busy()
    line(slots, "refetch", "r")
    line(slots, "prewarm", "p")
    line(slots, "demand", "d")

    assert let_in(slots, holder) == "dpr"


def test_images_take_turns_so_a_storm_for_one_delays_no_other() -> None:
    slots, (holder,) = busy()
    line(slots, "demand", "a" * 1000)
    line(slots, "demand", "b")
    line(slots, "demand", "cc")

    assert let_in(slots, holder)[:6] == "abcaca"


def test_who_waits_for_one_image_keeps_his_place_in_its_line() -> None:
    slots, (holder,) = busy()
    first, second = line(slots, "demand", "aa")

    assert slots.leave(holder) == [first]
    assert slots.leave(first) == [second]


@pytest.mark.parametrize("purpose", ["prewarm", "refetch"])
def test_what_no_client_waits_for_gets_one_turn_in_sixteen(purpose: Purpose) -> None:
    slots, (holder,) = busy()
    line(slots, purpose, "pp")
    line(slots, "demand", "d" * 40)

    entered = let_in(slots, holder)

    assert entered.index("p") == FLOOR_PARTS - 1
    assert entered[: 2 * FLOOR_PARTS].count("p") == 2


def test_prewarms_leave_slots_free_for_clients() -> None:
    slots = Slots(4, 2)

    entered = [slots.ask(Waiter(image, "prewarm")) for image in "abcd"]

    assert entered == [True, True, False, False]
    assert [slots.ask(Waiter("x", "demand")) for _ in range(3)] == [True, True, False]


def test_a_prewarm_that_a_client_joins_goes_ahead_and_makes_room_for_another() -> None:
    slots = Slots(2, 1)
    running, waiting = Waiter("a", "prewarm"), Waiter("b", "prewarm")
    assert [slots.ask(running), slots.ask(waiting)] == [True, False]

    assert slots.move(running, "demand") == [waiting]


def test_a_waiter_whose_purpose_rises_overtakes() -> None:
    slots, (holder,) = busy()
    _, late = line(slots, "prewarm", "ab")
    slots.move(late, "demand")

    assert let_in(slots, holder) == "ba"


def test_a_turn_costs_what_it_takes() -> None:
    """Of bytes: a piece of 1 MiB is let in once 15 MiB passed it."""
    order, background = Order(), Waiter("p", "prewarm", 1000)
    order.add(background)
    passed = 0
    for number in count():
        order.add(Waiter(str(number), "demand", 100))
        waiter = order.first()
        assert waiter is not None
        if waiter is background:
            break
        order.take(waiter)
        passed += waiter.cost

    assert passed == (FLOOR_PARTS - 1) * background.cost


class Sharing(RuleBasedStateMachine):
    """Any order of asking, leaving, giving up and changing of purpose."""

    @initialize(most=st.integers(1, 4), background=st.integers(1, 4))
    def begin(self, most: int, background: int) -> None:
        self.most, self.background_most = most, min(most, background)
        self.slots = Slots(self.most, self.background_most)
        self.waiting: list[Waiter] = []
        self.held: list[Waiter] = []

    def enter(self, entered: list[Waiter]) -> None:
        for waiter in entered:
            self.waiting.remove(waiter)
            self.held.append(waiter)

    @rule(image=st.sampled_from("abc"), purpose=st.sampled_from(PURPOSES))
    def ask(self, image: str, purpose: Purpose) -> None:
        waiter = Waiter(image, purpose)
        self.waiting.append(waiter)
        if self.slots.ask(waiter):
            self.enter([waiter])

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        waiter = data.draw(st.sampled_from(self.held))
        self.held.remove(waiter)
        self.enter(self.slots.leave(waiter))

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        waiter = data.draw(st.sampled_from(self.waiting))
        self.waiting.remove(waiter)
        self.enter(self.slots.leave(waiter))

    @precondition(lambda self: self.held or self.waiting)
    @rule(data=st.data(), purpose=st.sampled_from(PURPOSES))
    def change(self, data: st.DataObject, purpose: Purpose) -> None:
        waiter = data.draw(st.sampled_from([*self.held, *self.waiting]))
        self.enter(self.slots.move(waiter, purpose))
        assert waiter.purpose == purpose

    @invariant()
    def nothing_is_passed_over_or_lost(self) -> None:
        if not hasattr(self, "slots"):
            return
        background = sum(waiter.purpose != "demand" for waiter in self.held)
        assert len(self.held) <= self.most
        assert all(self.slots.holds(waiter) for waiter in self.held)
        if any(waiter.purpose == "demand" for waiter in self.waiting):
            assert len(self.held) == self.most
        elif self.waiting:
            assert len(self.held) == self.most or background >= self.background_most


TestSharing = Sharing.TestCase
TestSharing.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
