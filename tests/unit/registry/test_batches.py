"""Many asks, one query: who waits for what, and what happens when somebody leaves."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from upstream.registry.sql.batches import Batches


class GatedTable:
    """Numbers by name. Each query waits at the gate; `queries` tells what was asked together."""

    def __init__(self) -> None:
        self.queries: list[tuple[str, ...]] = []
        self.gate = asyncio.Semaphore(0)
        self.failures: list[Exception] = []
        self.value = 0

    async def load(self, keys: Sequence[str]) -> Mapping[str, int]:
        self.queries.append(tuple(keys))
        value = self.value  # what the database holds when the query starts
        await asyncio.sleep(0)  # no query is answered in the turn in which it is asked
        await self.gate.acquire()
        if self.failures:
            raise self.failures.pop()
        return {key: value for key in keys if key != "absent"}

    async def running(self, queries: int) -> None:
        while len(self.queries) < queries:  # noqa: ASYNC110 - a turn of the loop at a time is what is tested
            await asyncio.sleep(0)


@pytest.fixture
def table() -> GatedTable:
    return GatedTable()


@pytest.fixture
def batches(table: GatedTable) -> Batches[str, int]:
    return Batches(table.load, keys_max=4)


async def test_those_who_come_while_a_query_runs_share_the_next(table: GatedTable, batches: Batches[str, int]) -> None:
    async with asyncio.TaskGroup() as group:
        first = group.create_task(batches.get("a"))
        await table.running(1)
        others = [group.create_task(batches.get(key)) for key in ("b", "c", "b", "absent")]
        await asyncio.sleep(0)
        assert table.queries == [("a",)]
        table.gate.release()
        await table.running(2)
        table.gate.release()
    assert table.queries == [("a",), ("b", "c", "absent")]
    assert (first.result(), [each.result() for each in others]) == (0, [0, 0, 0, None])


async def test_who_is_alone_asks_at_once(table: GatedTable, batches: Batches[str, int]) -> None:
    """In the same turn of the loop: beside many downloads each turn takes milliseconds."""
    asking = asyncio.gather(batches.get("a"))
    await asyncio.sleep(0)
    assert table.queries == [("a",)]
    table.gate.release()
    assert list(await asking) == [0]


async def test_no_answer_is_older_than_its_question(table: GatedTable, batches: Batches[str, int]) -> None:
    """The running query for the same key started before the question, so it does not answer it."""
    async with asyncio.TaskGroup() as group:
        early = group.create_task(batches.get("a"))
        await table.running(1)
        table.value = 1
        late = group.create_task(batches.get("a"))
        await asyncio.sleep(0)
        table.gate.release()
        table.gate.release()
    assert (early.result(), late.result()) == (0, 1)


async def test_a_batch_has_an_end_and_nobody_is_forgotten(table: GatedTable, batches: Batches[str, int]) -> None:
    for _ in range(4):
        table.gate.release()
    answers = await asyncio.gather(*(batches.get(f"k{number}") for number in range(10)))
    assert answers == [0] * 10
    assert [len(query) for query in table.queries] == [1, 4, 4, 1]


async def test_a_failure_reaches_all_who_waited_and_none_after(table: GatedTable, batches: Batches[str, int]) -> None:
    table.failures = [OSError("gone"), OSError("gone")]
    together = [batches.get(key) for key in ("a", "b", "c")]
    for _ in range(2):
        table.gate.release()
    assert [type(each) for each in await asyncio.gather(*together, return_exceptions=True)] == [OSError] * 3
    assert table.queries == [("a",), ("b", "c")]
    table.gate.release()
    assert await batches.get("a") == 0


async def test_a_leader_who_leaves_takes_only_itself_away(table: GatedTable, batches: Batches[str, int]) -> None:
    leader = asyncio.gather(batches.get("a"))
    others = asyncio.gather(*(batches.get(key) for key in ("b", "c")))
    await table.running(1)
    leader.cancel()
    await table.running(2)
    table.gate.release()
    assert await others == [0, 0]
    assert table.queries == [("a",), ("b", "c")]


async def test_those_whose_leader_left_are_not_passed_by_later_ones(
    table: GatedTable, batches: Batches[str, int]
) -> None:
    leader = asyncio.gather(batches.get("a"))
    early = asyncio.gather(*(batches.get(f"early {number}") for number in range(3)))
    await table.running(1)
    late = asyncio.gather(*(batches.get(f"late {number}") for number in range(3)))
    await asyncio.sleep(0)
    leader.cancel()
    await table.running(2)
    table.gate.release()
    table.gate.release()
    await asyncio.gather(early, late)
    assert table.queries[1] == ("early 0", "early 1", "early 2", "late 0")


async def test_one_who_waits_may_leave(table: GatedTable, batches: Batches[str, int]) -> None:
    leader = asyncio.gather(batches.get("a"))
    await table.running(1)
    leaving, staying = asyncio.gather(batches.get("b")), asyncio.gather(batches.get("c"))
    await asyncio.sleep(0)
    leaving.cancel()
    table.gate.release()
    table.gate.release()
    assert (await leader)[0] == 0
    assert (await staying)[0] == 0
    assert table.queries == [("a",), ("c",)]


@pytest.mark.parametrize("keys_max", [1, 4])
@pytest.mark.parametrize("leaving", [0, 1, 2])
async def test_the_lead_is_never_lost_whoever_leaves_and_whenever(keys_max: int, leaving: int) -> None:
    """Before, while and after the lead is handed over, to one who gets it or from one who has it."""
    for turns in range(14):
        table = GatedTable()
        batches = Batches(table.load, keys_max)
        for _ in range(9):
            table.gate.release()
        asking = [asyncio.gather(batches.get(key)) for key in ("a", "b", "c")]
        for _ in range(turns):
            await asyncio.sleep(0)
        asking[leaving].cancel()
        async with asyncio.timeout(30):
            answers = await asyncio.gather(*asking, return_exceptions=True)
            assert await batches.get("later") == 0
        stayed = [answer for number, answer in enumerate(answers) if number != leaving]
        assert [list(each) for each in stayed if not isinstance(each, BaseException)] == [[0], [0]], turns
