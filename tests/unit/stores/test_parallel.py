"""Parts of an image side by side: right bytes in order, or an error where they end, whatever their sizes and faults."""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics import Instruments
from tests.content import MIB, Noise
from upstream.errors import DataNotFound, Denied, Unavailable, Unproved, UpstreamError, WrongLength
from upstream.stores import Witness
from upstream.stores.guard import Errand
from upstream.stores.parallel import Budget, Parallel
from upstream.types import Location

IMAGE = Location(url="memory:image")


@dataclass(frozen=True, slots=True)
class Break:
    """What one request meets: an error, before its first byte (`at` None) or after so many."""

    error: UpstreamError
    at: int | None = None


@dataclass(slots=True)
class Memory:
    """A store in memory, whose answers come in pieces and whenever it likes. The n-th request meets `breaks[n]`."""

    data: bytes
    chance: random.Random
    breaks: dict[int, Break] = field(default_factory=dict)
    piece_max: int = 64
    gives_parts: bool = True
    asked: list[tuple[int, int | None]] = field(default_factory=list)
    given: int = 0
    open: int = 0
    open_max: int = 0

    @asynccontextmanager
    async def read(
        self,
        location: Location,
        offset: int = 0,
        stop: int | None = None,
        witness: Witness | None = None,
        *,
        errand: Errand | None = None,
        insist: bool = False,
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        found = self.breaks.get(len(self.asked))
        self.asked.append((offset, stop))
        await self._later()
        if found is not None and found.at is None:
            raise found.error
        end = len(self.data) if stop is None else stop
        if witness is not None and witness.rest is not None and not self.gives_parts:
            witness.rest.is_given = True
            end = len(self.data) if witness.rest.stop is None else witness.rest.stop
        self.open += 1
        self.open_max = max(self.open_max, self.open)
        try:
            async with aclosing(self._pieces(offset, end, found)) as pieces:
                yield pieces
        finally:
            self.open -= 1

    async def _pieces(self, at: int, end: int, found: Break | None) -> AsyncGenerator[bytes]:
        last = end if found is None or found.at is None else min(end, at + found.at)
        while at < last:
            await self._later()
            piece = self.data[at : min(last, at + self.chance.randint(1, self.piece_max))]
            at, self.given = at + len(piece), self.given + len(piece)
            yield piece
        if found is not None and at < end:
            raise found.error

    async def _later(self) -> None:
        for _ in range(self.chance.choice((0, 0, 1, 5))):
            await asyncio.sleep(0)


@contextmanager
def without_pauses() -> Iterator[None]:
    """And a clock by which each look is an epoch of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("upstream.stores.parallel.window.slot_s", lambda _failures, _jitter: 0)
        patch.setattr("upstream.stores.parallel.depth._EPOCH_S", 0.0)
        yield


async def read(parallel: Parallel, witness: Witness, offset: int, stop: int | None, into: bytearray) -> None:
    async with parallel.read(IMAGE, offset, stop, witness) as chunks:
        async for chunk in chunks:
            into += chunk


def nothing_is_left(store: Memory, budget: Budget) -> bool:
    return store.open == 0 and budget.shares == [] and budget.reads == 0 and len(asyncio.all_tasks()) == 1


ERRORS = st.sampled_from(
    [
        Unavailable("memory", "is busy"),
        WrongLength(9, 5),
        Unproved("memory", "is another"),
        Denied("no"),
        DataNotFound("memory"),
    ]
)
BREAKS = st.builds(Break, ERRORS, st.none() | st.integers(0, 300))


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """An image, the parts it is read in, and how its store feels."""

    size: int
    part: int
    known: int | None
    reads_max: int
    ahead: int
    piece_max: int
    seed: int
    gives_parts: bool = True

    def opened(self, breaks: dict[int, Break]) -> tuple[Memory, Budget, Parallel]:
        chance = random.Random(self.seed)
        store = Memory(chance.randbytes(self.size), chance, breaks, self.piece_max, self.gives_parts)
        budget = Budget(self.reads_max, self.ahead, self.known)
        return store, budget, Parallel("memory", store.read, budget, Instruments(), part_bytes=self.part)


SETTINGS = st.builds(
    Setting,
    size=st.integers(0, 3000),
    part=st.integers(1, 400),
    known=st.none() | st.integers(1, 9),
    reads_max=st.integers(1, 8),
    ahead=st.integers(0, 3000),
    piece_max=st.integers(1, 500),
    seed=st.integers(0, 2**32),
)


@settings(max_examples=250, deadline=None)
@given(
    setting=SETTINGS,
    gives_parts=st.booleans(),
    breaks=st.dictionaries(st.integers(0, 12), BREAKS, max_size=6),
    start=st.integers(0, 3000),
    is_to_end=st.booleans(),
)
def test_the_bytes_are_right_or_an_error_comes_where_they_end(
    setting: Setting, gives_parts: bool, breaks: dict[int, Break], start: int, is_to_end: bool
) -> None:
    store, budget, parallel = replace(setting, gives_parts=gives_parts).opened(breaks)
    offset = min(start, setting.size)
    stop = None if is_to_end else store.chance.randint(offset, setting.size)
    end = setting.size if stop is None else stop

    async def scene() -> None:
        """As a fill does: who breaks is read on, at the next byte."""
        witness, got, ended = Witness(size_bytes=setting.size), bytearray(), False
        while not ended:
            with suppress(*(type(one.error) for one in breaks.values())):
                await read(parallel, witness, offset + len(got), stop, got)
                ended = True
            assert bytes(got) == store.data[offset : offset + len(got)]
            assert nothing_is_left(store, budget)
        assert len(got) == end - offset
        for first, last in store.asked:
            assert offset <= first <= (setting.size if last is None else last) <= end

    with without_pauses():
        asyncio.run(scene())


@settings(max_examples=150, deadline=None)
@given(setting=SETTINGS, cuts=st.dictionaries(st.integers(0, 15), st.integers(0, 300), max_size=2))
def test_after_clean_cuts_each_byte_was_read_once(setting: Setting, cuts: dict[int, int]) -> None:
    store, _, parallel = setting.opened({number: Break(WrongLength(9, 5), at) for number, at in cuts.items()})

    async def scene() -> None:
        got, witness, ended = bytearray(), Witness(size_bytes=setting.size), False
        while not ended:
            try:
                await read(parallel, witness, len(got), None, got)
                ended = True
            except WrongLength:
                # Only who reads by one request has to go on by himself.
                assert store.asked[-1][1] is None
        assert bytes(got) == store.data
        assert store.given == setting.size
        assert store.open_max <= setting.reads_max

    with without_pauses():
        asyncio.run(scene())


@settings(max_examples=60, deadline=None)
@given(setting=SETTINGS, leaves_at=st.integers(0, 2000))
def test_who_leaves_leaves_nothing_running(setting: Setting, leaves_at: int) -> None:
    store, budget, parallel = setting.opened({})

    async def scene() -> None:
        got = bytearray()
        async with parallel.read(IMAGE, 0, None, Witness(size_bytes=setting.size)) as chunks:
            async for chunk in chunks:
                got += chunk
                if len(got) >= leaves_at:
                    break
        assert nothing_is_left(store, budget)
        async with asyncio.TaskGroup() as group:
            reader = group.create_task(read(parallel, Witness(size_bytes=setting.size), 0, None, bytearray()))
            for _ in range(store.chance.randint(0, 30)):
                await asyncio.sleep(0)
            reader.cancel()
        assert nothing_is_left(store, budget)

    with without_pauses():
        asyncio.run(scene())


def opened(
    size: int, *, breaks: dict[int, Break] | None = None, known: int = 4, ahead: int = 64 * MIB
) -> tuple[Memory, Budget, Parallel]:
    """Parts of 1 MiB."""
    store = Memory(Noise(size, seed=1).read(), random.Random(3), breaks or {}, 100_000)
    budget = Budget(8, ahead, known)
    return store, budget, Parallel("memory", store.read, budget, Instruments(), part_bytes=MIB)


async def test_a_refusal_of_the_first_part_is_told_on_entering_and_nothing_else_is_asked() -> None:
    store, budget, parallel = opened(8 * MIB, breaks={0: Break(Unavailable("memory", "is down"))})

    with pytest.raises(Unavailable, match="is down"):
        async with parallel.read(IMAGE, 0, None, Witness(size_bytes=8 * MIB)):
            raise AssertionError("entered")
    assert len(store.asked) == 1
    assert nothing_is_left(store, budget)


async def test_small_parts_and_unknown_sizes_are_read_by_one_request_as_they_were_asked_for() -> None:
    store, _, parallel = opened(2 * MIB - 1)
    size = 2 * MIB - 1

    await read(parallel, Witness(size_bytes=size), 0, None, bytearray())
    await read(parallel, Witness(), 0, None, bytearray())
    await read(parallel, Witness(size_bytes=size), 5, 10, bytearray())

    assert store.asked == [(0, None), (0, None), (5, 10)]


async def test_an_error_of_the_readers_own_passes_as_it_is() -> None:
    store, budget, parallel = opened(8 * MIB)

    async def read_badly() -> None:
        async with parallel.read(IMAGE, 0, None, Witness(size_bytes=8 * MIB)) as chunks:
            await anext(chunks)
            raise KeyError

    with pytest.raises(KeyError):
        await read_badly()
    assert nothing_is_left(store, budget)


async def test_memory_ahead_is_bounded_however_slow_the_reader_is() -> None:
    store, budget, parallel = opened(32 * MIB, ahead=6 * MIB)
    held = got = 0

    async with parallel.read(IMAGE, 0, None, Witness(size_bytes=32 * MIB)) as chunks:
        async for chunk in chunks:
            got += len(chunk)
            for _ in range(30):
                await asyncio.sleep(0)
            held = max(held, store.given - got)
            assert budget.held_bytes <= 6 * MIB

    assert got == 32 * MIB
    assert 1.5 * MIB < held <= 8 * MIB  # what the budget has, and a chunk at hand for each request


async def test_a_store_that_gives_more_than_the_part_is_not_believed() -> None:
    data = Noise(8 * MIB).read()

    @asynccontextmanager
    async def lying(
        location: Location,
        offset: int = 0,
        stop: int | None = None,
        witness: Witness | None = None,
        *,
        errand: Errand | None = None,
        insist: bool = False,
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        async def pieces() -> AsyncIterator[bytes]:
            yield data[offset : (stop or 0) + (offset > 0)]

        yield pieces()

    budget = Budget(4, 64 * MIB, 4)
    parallel, got = Parallel("memory", lying, budget, Instruments(), part_bytes=MIB), bytearray()

    with pytest.raises(WrongLength):
        await read(parallel, Witness(size_bytes=8 * MIB), 0, None, got)
    assert got == data[: len(got)]
    assert len(got) <= 2 * MIB


async def test_behind_a_part_that_will_not_come_nothing_more_is_asked_for() -> None:
    store, budget, parallel = opened(32 * MIB, breaks={3: Break(Denied("no"), 10)})
    got = bytearray()

    with pytest.raises(Denied):
        await read(parallel, Witness(size_bytes=32 * MIB), 0, None, got)

    refused = store.asked[3][0] + 10
    assert len(got) == refused
    assert store.given < refused + 5 * MIB
    assert nothing_is_left(store, budget)
