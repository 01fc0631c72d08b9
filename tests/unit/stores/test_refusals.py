"""Locations that refused a moment ago."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest

from upstream.errors import DataNotFound, Denied, Invalid, NotSupported, Unavailable, Unproved, UpstreamError
from upstream.stores.notices import NOTICES_MAX, Notices
from upstream.stores.refusals import Refusals
from upstream.types import Location

HERE = Location(url="http://user:secret@example.org/disk", id=1)


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Store:
    """Counts those who ask; fails while it has an error."""

    def __init__(self, error: UpstreamError | None = None) -> None:
        self.error, self.asked = error, 0
        self.goes_on = asyncio.Event()
        self.goes_on.set()

    async def open(self) -> str:
        self.asked += 1
        await self.goes_on.wait()
        if self.error is not None:
            raise self.error
        return "opened"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def notices() -> Iterator[Notices]:
    told = Notices()
    yield told
    told.close()


@pytest.fixture
def refusals(notices: Notices, clock: Clock) -> Refusals:
    return Refusals(notices, clock, jitter=lambda: 0.0)


async def asks(ask: Callable[[], Awaitable[str]]) -> str:
    try:
        return await ask()
    except UpstreamError as error:
        return type(error).__name__


def asking(refusals: Refusals, store: Store, location: Location = HERE) -> Callable[[], Awaitable[str]]:
    return lambda: refusals.ask("web", location, store.open)


@pytest.mark.parametrize(
    ("error", "slots_s"),
    [
        (Unavailable("web"), [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]),
        (DataNotFound("web"), [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]),
        (Unavailable("web", retry_after_s=3), [3, 3, 3, 3, 3.2, 6.4, 10.0]),
        (Unavailable("web", retry_after_s=3600), [10.0, 10.0]),
        (Unavailable("web", retry_after_s=0), [0.2, 0.4]),
    ],
    ids=str,
)
async def test_a_storm_asks_once_in_each_slot(
    refusals: Refusals, clock: Clock, error: UpstreamError, slots_s: list[float]
) -> None:
    store = Store(error)
    for number, slot_s in enumerate(slots_s, start=1):
        outcomes = {await asks(asking(refusals, store)) for _ in range(50)}
        clock.now_s += slot_s * 0.99
        outcomes.add(await asks(asking(refusals, store)))
        clock.now_s += slot_s * 0.02

        assert (outcomes, store.asked) == ({type(error).__name__}, number)


async def test_those_who_wait_for_the_next_try_share_its_outcome(refusals: Refusals, clock: Clock) -> None:
    store = Store(Unavailable("web"))
    await asks(asking(refusals, store))

    for error, outcome in [(Unavailable("web"), "Unavailable"), (None, "opened")]:
        clock.now_s += 1
        store.goes_on.clear()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(asks(asking(refusals, store))) for _ in range(100)]
            await asyncio.sleep(0)
            store.error = error
            store.goes_on.set()
        assert {task.result() for task in tasks} == {outcome}
        assert store.asked == (2 if error else 2 + 100)  # it is well again: everybody gets an answer of his own


async def test_who_leaves_while_he_asks_leaves_the_next_to_ask(refusals: Refusals, clock: Clock) -> None:
    store = Store(Unavailable("web"))
    await asks(asking(refusals, store))
    clock.now_s += 1
    store.error = None
    store.goes_on.clear()

    async with asyncio.TaskGroup() as group:
        first = group.create_task(asks(asking(refusals, store)))
        second = group.create_task(asks(asking(refusals, store)))
        await asyncio.sleep(0)
        first.cancel()
        store.goes_on.set()

    assert second.result() == "opened"


async def test_a_success_clears_what_was_remembered(refusals: Refusals, clock: Clock) -> None:
    store = Store(Unavailable("web"))
    for _ in range(6):
        await asks(asking(refusals, store))
        clock.now_s += 10
    store.error = None
    assert await asks(asking(refusals, store)) == "opened"

    store.error = Unavailable("web")
    await asks(asking(refusals, store))
    clock.now_s += 0.21

    assert (await asks(asking(refusals, store)), store.asked) == ("Unavailable", 9)  # the first slot again


@pytest.mark.parametrize("error", [Denied("web"), Invalid("web"), NotSupported("web"), Unproved("web")], ids=repr)
async def test_what_is_about_the_one_who_asks_is_not_remembered(refusals: Refusals, error: UpstreamError) -> None:
    store = Store(error)

    for _ in range(5):
        assert await asks(asking(refusals, store)) == type(error).__name__
    assert store.asked == 5


async def test_who_reads_on_asks_in_any_case(refusals: Refusals) -> None:
    store = Store(Unavailable("web"))

    for _ in range(5):
        with pytest.raises(Unavailable):
            await refusals.ask("web", HERE, store.open, insist=True)
    assert store.asked == 5

    store.error = None
    assert await refusals.ask("web", HERE, store.open, insist=True) == "opened"
    assert await asks(asking(refusals, store)) == "opened"


async def test_one_locations_refusal_is_not_anothers(refusals: Refusals) -> None:
    store = Store(DataNotFound("web"))
    await asks(asking(refusals, store))
    store.error = None

    anew = Location(url=HERE.url, id=2)
    elsewhere = Location(url="http://example.org/copy", id=1)
    for location in (anew, elsewhere):
        assert await asks(asking(refusals, store, location)) == "opened"
    assert await refusals.ask("other", HERE, store.open) == "opened"
    assert await asks(asking(refusals, store)) == "DataNotFound"


async def test_the_memory_is_bounded(refusals: Refusals) -> None:
    store = Store(DataNotFound("web"))
    for number in range(5000):
        await asks(asking(refusals, store, Location(url=f"http://example.org/{number}")))

    await asks(asking(refusals, store, Location(url="http://example.org/4999")))
    assert store.asked == 5000
    for number in range(5000):
        await asks(asking(refusals, store, Location(url=f"http://example.org/{number}")))
    assert store.asked >= 10_000 - NOTICES_MAX


async def test_a_remembered_refusal_says_when_to_come_back_and_no_secret(refusals: Refusals) -> None:
    store = Store(Unavailable("web", retry_after_s=4))
    await asks(asking(refusals, store))

    with pytest.raises(Unavailable) as caught:
        await asking(refusals, store)()

    assert caught.value.retry_after_s == pytest.approx(4)
    assert "secret" not in str(caught.value)
