"""Waiting for a slot and for bandwidth: who goes first, who is raised, and that nothing is lost on the way."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import cast

import pytest

from upstream.stores.guard.gates import RateGate, SlotGate
from upstream.stores.guard.purposes import PURPOSES, Errand, Purpose

PIECE_BYTES = 1000


class Gauges:
    """What the metrics would show."""

    def __init__(self) -> None:
        self.holding: Counter[str] = Counter()
        self.waiting: Counter[str] = Counter()

    def gate(self, most: int = 1, background_most: int = 1, wait_s: float = 10) -> SlotGate:
        return SlotGate(most, background_most, wait_s, holding=self.hold, waiting=self.wait)

    def hold(self, purpose: Purpose, change: int) -> None:
        self.holding[purpose] += change

    def wait(self, purpose: Purpose, change: int) -> None:
        self.waiting[purpose] += change

    @property
    def is_idle(self) -> bool:
        return not any(self.holding.values()) and not any(self.waiting.values())


@asynccontextmanager
async def in_line(gate: SlotGate, entered: list[str], *waiters: tuple[str, Errand]) -> AsyncIterator[None]:
    """The waiters ask in this order, and go as soon as they have been in."""

    async def enter(image: str, errand: Errand) -> None:
        async with gate.slot(image, errand):
            entered.append(image)

    async with asyncio.TaskGroup() as group:
        for image, errand in waiters:
            group.create_task(enter(image, errand))
            await asyncio.sleep(0)
        yield


async def test_a_prewarm_that_waits_for_a_slot_is_raised_at_once_when_a_client_joins() -> None:
    gauges, entered = Gauges(), list[str]()
    gate, joined = gauges.gate(), Errand("prewarm")
    async with AsyncExitStack() as stack:
        held = await stack.enter_async_context(AsyncExitStack())
        await held.enter_async_context(gate.slot("busy", Errand()))
        waiters = ("a", Errand("prewarm")), ("b", joined), ("c", Errand("demand"))
        await stack.enter_async_context(in_line(gate, entered, *waiters))
        assert gauges.waiting == {"prewarm": 2, "demand": 1}

        joined.change("demand")

        assert gauges.waiting == {"prewarm": 1, "demand": 2}
        await held.aclose()

    assert entered == ["c", "b", "a"]
    assert gauges.is_idle


async def test_a_slot_of_a_prewarm_that_is_raised_is_free_for_the_next_prewarm() -> None:
    gauges, entered, running = Gauges(), list[str](), Errand("prewarm")
    gate = gauges.gate(most=2)
    async with gate.slot("a", running), in_line(gate, entered, ("b", Errand("prewarm"))):
        assert not entered
        running.change("demand")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert entered == ["b"]


async def test_only_clients_run_out_of_patience() -> None:
    gauges = Gauges()
    gate, raised = gauges.gate(wait_s=0.05), Errand("prewarm")
    async with gate.slot("busy", Errand()), asyncio.TaskGroup() as group:
        with pytest.raises(TimeoutError):
            async with gate.slot("a", Errand()):
                pytest.fail("the slot is taken")

        async def wait_as_prewarm() -> None:
            with pytest.raises(TimeoutError):
                async with gate.slot("b", raised):
                    pytest.fail("the slot is taken")

        waiting = group.create_task(wait_as_prewarm())
        await asyncio.sleep(0.2)
        assert not waiting.done()
        raised.change("demand")

    assert gauges.is_idle


async def test_no_slot_is_lost_whoever_is_cancelled_or_raised_and_when() -> None:
    chance, gauges = random.Random(17), Gauges()
    gate, at_once = gauges.gate(most=3, background_most=2), 0

    async def use(errand: Errand) -> None:
        nonlocal at_once
        async with gate.slot(chance.choice("abc"), errand):
            at_once += 1
            assert at_once <= 3
            try:
                for _ in range(chance.randrange(4)):
                    await asyncio.sleep(0)
            finally:
                at_once -= 1

    async with asyncio.TaskGroup() as group:
        users = []
        for _ in range(2000):
            errand = Errand(chance.choice(PURPOSES))
            users.append((group.create_task(use(errand)), errand))
            if chance.random() < 0.5:
                await asyncio.sleep(0)
            task, errand = chance.choice(users[-20:])
            if chance.random() < 0.3:
                task.cancel()
            if chance.random() < 0.3:
                errand.change(chance.choice(PURPOSES))

    assert gauges.is_idle
    async with gate.slot("a", Errand()), gate.slot("b", Errand()), gate.slot("c", Errand()):
        assert gauges.holding["demand"] == 3


async def test_bytes_beyond_the_burst_come_at_the_rate() -> None:
    loop, gate = asyncio.get_running_loop(), RateGate(100 * PIECE_BYTES)
    began_s = loop.time()
    waits_s = [await gate.passed(PIECE_BYTES, "a", Errand()) for _ in range(26 + 30)]

    took_s = loop.time() - began_s
    assert took_s >= 0.29  # 25 pieces are the burst, and the last one is paid by who comes next
    assert sum(waits_s) <= took_s


class Time:
    """A loop's time, which goes on when the test says so: to the next timer, and everybody has his say before."""

    def __init__(self) -> None:
        self.now_s, self.due_s = 0.0, 0.0
        self.due: Callable[[], None] = lambda: None
        self.create_future = asyncio.get_running_loop().create_future

    def time(self) -> float:
        return self.now_s

    def call_later(self, delay_s: float, call: Callable[[], None]) -> "Time":
        self.due_s, self.due = self.now_s + delay_s, call
        return self

    async def goes_on(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)
        self.now_s = self.due_s
        self.due()


async def moved(errands: dict[str, Errand], until: str, pieces: int) -> Counter[str]:
    """Pieces that each reader got through until one of them had so many. Each reads without end."""
    loop = Time()
    gate = RateGate(200 * PIECE_BYTES, loop=cast("asyncio.AbstractEventLoop", loop))
    gate.pay(51 * PIECE_BYTES, Errand())  # the burst is used up
    counts: Counter[str] = Counter()

    async def read(image: str, errand: Errand) -> None:
        while True:
            await gate.passed(PIECE_BYTES, image, errand)
            counts[image] += 1

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(read(image, errand)) for image, errand in errands.items()]
        while counts[until] < pieces:
            await loop.goes_on()
        for task in tasks:
            task.cancel()
    return counts


async def test_while_clients_use_the_bandwidth_a_prewarm_gets_a_sixteenth() -> None:
    counts = await moved({"a": Errand(), "p": Errand("prewarm"), "b": Errand()}, "a", 75)

    assert abs(counts["b"] - counts["a"]) <= 1
    assert counts["p"] in {9, 10}


async def test_a_refetch_gets_a_sixteenth_of_what_prewarms_take() -> None:
    counts = await moved({"p": Errand("prewarm"), "r": Errand("refetch")}, "p", 75)

    assert counts["r"] in {4, 5}


async def test_a_prewarm_that_waits_for_bandwidth_is_raised_at_once() -> None:
    loop, joined = Time(), Errand("prewarm")
    gate = RateGate(10 * PIECE_BYTES, loop=cast("asyncio.AbstractEventLoop", loop))
    gate.pay(4 * PIECE_BYTES, Errand())
    order = list[str]()

    async def read(image: str, errand: Errand) -> None:
        await gate.passed(PIECE_BYTES, image, errand)
        order.append(image)

    async with asyncio.TaskGroup() as group:
        for image, errand in (("a", Errand("prewarm")), ("b", joined)):
            group.create_task(read(image, errand))
            await asyncio.sleep(0)
        joined.change("demand")
        while len(order) < 2:
            await loop.goes_on()

    assert order == ["b", "a"]


async def test_a_limit_of_prewarms_holds_no_client_and_lets_go_whom_a_client_joins() -> None:
    gate, joined = RateGate(1, ["prewarm", "refetch"]), Errand("prewarm")
    gate.pay(10**9, joined)  # its next byte would come in thirty years

    assert await gate.passed(PIECE_BYTES, "a", Errand()) == 0
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(gate.passed(PIECE_BYTES, "b", joined))
        await asyncio.sleep(0)
        joined.change("demand")
    gate.close()


async def test_who_is_cancelled_while_he_waits_for_bandwidth_leaves_nothing_behind() -> None:
    gate = RateGate(100 * PIECE_BYTES)
    gate.pay(76 * PIECE_BYTES, Errand())
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(gate.passed(10**12, "a", Errand())) for _ in range(5)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()

    async with asyncio.timeout(20):
        await gate.passed(PIECE_BYTES, "b", Errand())
    assert not gate._turns
