"""One stream cut into objects: every byte once and in order, several at once, and never more in memory than allowed."""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor

import pytest

from upstream.errors import Unavailable
from upstream.stores.swift.budget import Budget
from upstream.stores.swift.lanes import Lane, send_all

KIB, MIB = 1024, 1024 * 1024
CONTENT = random.Random(7).randbytes(5 * MIB + 17)


@pytest.fixture
def pool() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as threads:
        yield threads


async def arriving(content: bytes, piece_bytes: int) -> AsyncIterator[bytes]:
    for at in range(0, len(content), piece_bytes):
        yield content[at : at + piece_bytes]


class Sink:
    """Takes what is sent, a piece each turn of the loop, and looks how much is under way."""

    def __init__(self, budget: Budget) -> None:
        self.budget, self.got, self.digests = budget, dict[int, bytes](), dict[int, str]()
        self.used_max = self.at_once = self.at_once_max = 0

    async def send(self, lane: Lane) -> None:
        self.at_once += 1
        self.at_once_max = max(self.at_once_max, self.at_once)
        got = bytearray()
        async for piece in lane:
            self.used_max = max(self.used_max, self.budget.used_bytes)
            got += piece
            await asyncio.sleep(0)
        await asyncio.sleep(0.001)  # the answer
        self.got[lane.number], self.digests[lane.number] = bytes(got), await lane.digest()
        self.at_once -= 1


@pytest.mark.parametrize("piece_bytes", [700, 64 * KIB, 3 * MIB])
@pytest.mark.parametrize("object_max", [None, 300 * KIB, MIB, 64 * MIB])
async def test_every_byte_is_sent_once_and_memory_keeps_its_bound(
    pool: Executor, piece_bytes: int, object_max: int | None
) -> None:
    budget = Budget(2 * MIB)
    sink = Sink(budget)

    total = await send_all(
        arriving(CONTENT, piece_bytes), sink.send, object_max=object_max, lanes_max=4, budget=budget, pool=pool
    )

    parts = [sink.got[number] for number in sorted(sink.got)]
    assert b"".join(parts) == CONTENT
    assert total == len(CONTENT)
    assert {len(part) for part in parts[:-1]} <= {object_max}
    assert sink.used_max <= 2 * MIB
    assert sink.at_once_max <= 4
    assert (sink.at_once_max > 1) == (object_max is not None and object_max <= MIB)
    assert list(sink.digests.values()) == [
        hashlib.md5(sink.got[number], usedforsecurity=False).hexdigest() for number in sink.digests
    ]
    assert budget.used_bytes == 0


async def test_nothing_is_one_object_or_none(pool: Executor) -> None:
    for object_max, expected in ((None, {1: b""}), (MIB, {})):
        sink = Sink(Budget(MIB))
        size = await send_all(
            arriving(b"", 1), sink.send, object_max=object_max, lanes_max=2, budget=sink.budget, pool=pool
        )
        assert (size, sink.got) == (0, expected)


async def test_the_first_error_ends_it_passes_as_it_is_and_gives_all_memory_back(pool: Executor) -> None:
    budget = Budget(MIB)
    refused, broken = Unavailable("store", "no"), LookupError("the client left")

    async def refuse(lane: Lane) -> None:
        await anext(aiter(lane))
        raise refused

    async def breaking() -> AsyncIterator[bytes]:
        yield CONTENT[:MIB]
        raise broken

    with pytest.raises(Unavailable) as caught:
        await send_all(arriving(CONTENT, MIB), refuse, object_max=MIB, lanes_max=2, budget=budget, pool=pool)
    assert caught.value is refused
    sink = Sink(budget)
    with pytest.raises(LookupError) as passed:
        await send_all(breaking(), sink.send, object_max=None, lanes_max=1, budget=budget, pool=pool)
    assert passed.value is broken
    assert budget.used_bytes == 0


async def test_who_is_cancelled_while_waiting_for_memory_leaves_it_to_the_next() -> None:
    budget, order = Budget(10), list[str]()

    async def take(name: str, size_bytes: int) -> None:
        await budget.take(size_bytes)
        order.append(name)

    await budget.take(8)
    async with asyncio.TaskGroup() as group:
        large = group.create_task(take("large", 9))
        small = group.create_task(take("small", 2))
        await asyncio.sleep(0)
        assert order == []  # the small one does not overtake
        large.cancel()
        await small
    assert order == ["small"]
    budget.give(8)
    budget.give(2)
    await budget.take(1000)  # as much as there is
    assert budget.used_bytes == 10
