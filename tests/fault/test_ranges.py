"""Parts of images: byte for byte in every state of the cache, and read from the store no more than is wanted."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from cache import Outcome, Span
from tests.content import KIB, MIB, Noise
from tests.origin import Fault, Gate, Origin
from tests.seeds import seed_of_this_run
from tests.served import Served, config_for, serving

CONTENT = Noise(6 * MIB + 12345, seed=21)
SIZE = CONTENT.size_bytes
HELD_BACK = 64 * KIB  # of a fill, until its digest is right
AT_ONCE = 8
STEPS = 12  # of one fill
COUNTS = [300, pytest.param(10_200, marks=pytest.mark.long)]


@dataclass(frozen=True, slots=True)
class Asked:
    """A Range header, and what RFC 9110 or Glance make of it. `span` None: 416."""

    header: str
    span: Span | None


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as served:
        served.add("disk", CONTENT)
        yield served


@pytest.fixture
async def glint(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(config_for(tmp_path)) as served:
        yield served


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """Connections are kept: what one answer leaves behind spoils the next."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as opened:
        yield opened


@pytest.fixture
def chance() -> random.Random:
    return random.Random(seed_of_this_run())


@pytest.mark.parametrize("count", COUNTS)
async def test_random_ranges_of_an_idle_image_are_exact_and_exactly_what_the_store_is_asked_for(
    tmp_path: Path, origin: Origin, session: aiohttp.ClientSession, chance: random.Random, count: int
) -> None:
    """Idle for good: it has no room in this cache."""
    async with serving(config_for(tmp_path, {"cache": {"size_max": "1 MiB"}})) as glint:
        image_id = await glint.register(CONTENT, origin.url("disk"))
        asks = [random_range(chance, ()) for _ in range(count)]
        await check_all(session, glint.file_url(image_id), asks)
    spans = [ask.span for ask in asks if ask.span is not None]
    assert sorted(origin.counts("disk").ranges, key=str) == sorted(map(header_to_store, spans), key=str)
    assert origin.counts("disk").sent_bytes == sum(span.length for span in spans)


@pytest.mark.parametrize("count", COUNTS)
async def test_random_ranges_of_an_image_on_disk_are_exact_and_cost_the_store_nothing(
    glint: Served, origin: Origin, session: aiohttp.ClientSession, chance: random.Random, count: int
) -> None:
    image_id = await glint.register(CONTENT, origin.url("disk"))
    await glint.fetch(image_id)
    await check_all(session, glint.file_url(image_id), [random_range(chance, ()) for _ in range(count)])
    assert origin.counts("disk").gets == 1


@pytest.mark.parametrize("count", COUNTS)
async def test_random_ranges_of_a_running_fill_are_exact_and_its_written_part_needs_no_more_of_the_store(
    glint: Served, origin: Origin, session: aiohttp.ClientSession, chance: random.Random, count: int
) -> None:
    per_step = 25
    for turn in range(count // (STEPS * per_step)):
        name = f"disk-{turn}"
        origin.add(name, CONTENT)
        image_id = await glint.register(CONTENT, origin.url(name))
        gate = Gate(at=0)
        origin.script(name, Fault(gate=gate))
        steps = sorted(chance.randrange(SIZE) for _ in range(STEPS))
        async with asyncio.TaskGroup() as tasks:
            whole = tasks.create_task(glint.fetch(image_id))
            await gate.reached()
            for step in steps:
                gate.open(to=step)
                await written(glint, image_id, step)
                asks = [random_range(chance, (step, step - HELD_BACK)) for _ in range(per_step)]
                ready = [ask for ask in asks if ask.span is None or ask.span.stop <= min(step, SIZE - HELD_BACK)]
                for ask in asks:
                    if ask not in ready:  # it waits, or is read from the store
                        tasks.create_task(check(session, glint.file_url(image_id), ask))
                async with asyncio.timeout(20):  # the store gives nothing meanwhile
                    await check_all(session, glint.file_url(image_id), ready)
            gate.open()
        assert whole.result() == CONTENT.read()
        await glint.services.cache.evict(image_id)


async def test_a_small_range_of_an_idle_image_is_all_that_the_store_is_asked_for(glint: Served, origin: Origin) -> None:
    image_id = await glint.register(CONTENT, origin.url("disk"))
    assert await part(glint, image_id, 2 * MIB, 2 * MIB + 4095) == CONTENT.read(2 * MIB, 2 * MIB + 4096)
    assert origin.counts("disk").ranges == [f"bytes={2 * MIB}-{2 * MIB + 4095}"]
    assert origin.counts("disk").sent_bytes == 4096
    assert await glint.services.cache.filling(image_id) is None
    await glint.until(lambda: glint.counted("glint_downloads_total", outcome=Outcome.BYPASS) == 1)


async def test_a_look_at_the_header_starts_no_fill(glint: Served, origin: Origin) -> None:
    image_id = await glint.register(CONTENT, origin.url("disk"))
    assert await part(glint, image_id, 0, 64 * KIB - 1) == CONTENT.read(0, 64 * KIB)
    assert origin.counts("disk").ranges == [f"bytes=0-{64 * KIB - 1}"]
    assert not await glint.services.cache.has(image_id)


async def test_who_reads_on_from_the_front_starts_a_fill(glint: Served, origin: Origin) -> None:
    image_id = await glint.register(CONTENT, origin.url("disk"))
    assert await part(glint, image_id, 0, MIB) == CONTENT.read(0, MIB + 1)
    await glint.until_cached(image_id)
    assert origin.counts("disk").ranges == [None]


async def test_a_quarter_of_an_image_in_parts_starts_a_fill(glint: Served, origin: Origin) -> None:
    image_id = await glint.register(CONTENT, origin.url("disk"))
    tenth = SIZE // 10
    for number in (2, 4, 2, 4):  # a part that is asked for again counts once
        await part(glint, image_id, number * tenth, (number + 1) * tenth - 1)
    assert origin.counts("disk").gets == 4
    assert await glint.services.cache.filling(image_id) is None
    last = 6 * tenth, 7 * tenth - 1
    assert await part(glint, image_id, *last) == CONTENT.read(last[0], last[1] + 1)
    await glint.until_cached(image_id)
    assert origin.counts("disk").ranges.count(None) == 1
    gets = origin.counts("disk").gets
    await part(glint, image_id, *last)
    assert origin.counts("disk").gets == gets


async def test_without_a_free_read_of_a_part_an_idle_image_is_filled(tmp_path: Path, origin: Origin) -> None:
    other = origin.add("other", Noise(SIZE, seed=22))
    async with serving(config_for(tmp_path, {"cache": {"range_reads_max": 1}})) as glint:
        held, image_id = [
            await glint.register(content, origin.url(name)) for name, content in (("disk", CONTENT), ("other", other))
        ]
        gate = Gate()
        origin.script("disk", Fault(gate=gate))
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(part(glint, held, MIB, MIB + 99))
            await gate.reached()
            assert await part(glint, image_id, MIB, MIB + 99) == other.read(MIB, MIB + 100)
            gate.open()
        assert first.result() == CONTENT.read(MIB, MIB + 100)
        await glint.until_cached(image_id)
        assert origin.counts("other").ranges == [None]
        assert await part(glint, held, 3 * MIB, 3 * MIB) == CONTENT.read(3 * MIB, 3 * MIB + 1)  # it is free again
        assert origin.counts("disk").ranges[1:] == [f"bytes={3 * MIB}-{3 * MIB}"]


async def test_many_ranges_of_an_idle_image_at_once_are_no_more_reads_than_may_be(
    tmp_path: Path, origin: Origin
) -> None:
    async with serving(config_for(tmp_path, {"cache": {"range_reads_max": 4}})) as glint:
        image_id = await glint.register(CONTENT, origin.url("disk"))
        places = [number * 50 * KIB for number in range(1, 101)]
        gate = Gate()
        origin.always("disk", Fault(gate=gate))
        async with asyncio.TaskGroup() as tasks:
            asks = [tasks.create_task(part(glint, image_id, place, place + 9)) for place in places]
            await gate.reached(5)
            gate.open()
        assert [ask.result() for ask in asks] == [CONTENT.read(place, place + 10) for place in places]
    assert origin.counts("disk").at_once_max <= 5  # four of parts, and the fill that all others wait for


async def test_ranges_far_ahead_of_a_fill_are_read_from_the_store_as_many_as_may_be(
    tmp_path: Path, origin: Origin
) -> None:
    async with serving(config_for(tmp_path, {"cache": {"range_reads_max": 1, "range_wait_s": 0}})) as glint:
        image_id = await glint.register(CONTENT, origin.url("disk"))
        fill, far = Gate(at=MIB), Gate()
        origin.script("disk", Fault(gate=fill), Fault(gate=far))
        async with asyncio.TaskGroup() as tasks:
            whole = tasks.create_task(glint.fetch(image_id))
            await written(glint, image_id, MIB)
            first = tasks.create_task(part(glint, image_id, 3 * MIB, 4 * MIB - 1))
            await far.reached()
            second = tasks.create_task(part(glint, image_id, 5 * MIB, 5 * MIB + 9))
            await glint.until(lambda: glint.counted("glint_range_reads_total", decision="wait") == 1)
            far.open()
            await asyncio.wait({first})
            assert not second.done()
            fill.open()
        assert whole.result() == CONTENT.read()
        assert first.result() == CONTENT.read(3 * MIB, 4 * MIB)
        assert second.result() == CONTENT.read(5 * MIB, 5 * MIB + 10)
        assert origin.counts("disk").ranges == [None, f"bytes={3 * MIB}-{4 * MIB - 1}"]


async def test_ranges_that_a_fill_brings_soon_wait_for_it(tmp_path: Path, origin: Origin) -> None:
    async with serving(config_for(tmp_path, {"cache": {"range_wait_s": 3600}})) as glint:
        image_id = await glint.register(CONTENT, origin.url("disk"))
        gate = Gate(at=MIB)
        origin.script("disk", Fault(gate=gate))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(glint.fetch(image_id))
            await written(glint, image_id, MIB)
            near = tasks.create_task(part(glint, image_id, MIB + 1, 2 * MIB))
            await glint.until(lambda: glint.counted("glint_range_reads_total", decision="wait") == 1)
            gate.open()
        assert near.result() == CONTENT.read(MIB + 1, 2 * MIB + 1)
        assert origin.counts("disk").gets == 1


async def test_a_range_from_a_store_that_knows_none_is_had_from_the_whole(tmp_path: Path, origin: Origin) -> None:
    backends = {"web": {"skip_max": "1 MiB"}}
    async with serving(config_for(tmp_path, {"stores": {"backends": backends}})) as glint:
        image_id = await glint.register(CONTENT, origin.url("disk"))
        origin.always("disk", Fault(ignore_range=True))
        assert await part(glint, image_id, 3 * MIB, 3 * MIB + 9) == CONTENT.read(3 * MIB, 3 * MIB + 10)
        await glint.until_cached(image_id)
        assert origin.counts("disk").gets == 2


async def test_a_range_on_a_condition_that_cannot_hold_is_the_whole(glint: Served, origin: Origin) -> None:
    """No answer has an ETag or a date: RFC 9110, section 13.1.5."""
    small = origin.add("small", Noise(10 * KIB, seed=23))
    image_id = await glint.register(small, origin.url("small"))
    conditions = ['"0123-6291456"', 'W/"1"', "Mon, 05 Jan 2026 10:00:00 GMT", "x", "*", ""]
    for asked in ("bytes=0-9", "bytes=-5", f"bytes={SIZE}-", "bytes=0-1,3-4", "lines=1-2", "bytes=-"):
        for condition in conditions:
            headers = {"If-Range": condition, "Range": asked}
            async with glint.session.get(glint.file_url(image_id), headers=headers) as answer:
                assert answer.status == 200
                assert {"Content-Range", "ETag", "Last-Modified"}.isdisjoint(answer.headers)
                assert await answer.read() == small.read()


async def test_a_condition_without_a_range_is_none(glint: Served, origin: Origin) -> None:
    image_id = await glint.register(CONTENT, origin.url("disk"))
    headers = {"If-Range": '"x"', "Content-Range": f"bytes 0-9/{SIZE}"}
    async with glint.session.get(glint.file_url(image_id), headers=headers) as answer:
        assert answer.status == 206  # what old clients send instead of Range is no Range
        assert await answer.read() == CONTENT.read(0, 10)


def random_range(chance: random.Random, edges: tuple[int, ...]) -> Asked:
    """Every way to ask, at places where mistakes live: block borders, the ends, and the `edges` given."""
    place, other = (_place(chance, edges) for _ in range(2))
    length = chance.choice([1, 2, 100, 4096, chance.randrange(1, 256 * KIB), chance.randrange(1, SIZE)])
    match chance.choices(
        ["first-last", "first-", "suffix", "single", "whole", "between", "past the end", "outside"],
        [8, 1, 2, 2, 0.2, 2, 1, 1],
    )[0]:
        case "first-last":
            return Asked(f"bytes={place}-{place + length - 1}", Span(place, min(SIZE, place + length)))
        case "first-":
            return Asked(f"bytes={place}-", Span(place, SIZE))
        case "suffix":
            return Asked(f"bytes=-{length}", Span(max(0, SIZE - length), SIZE))
        case "single":
            return Asked(f"bytes={place}-{place}", Span(place, place + 1))
        case "whole":
            header = chance.choice(["bytes=0-", f"bytes=0-{SIZE - 1}", f"bytes=-{SIZE}", f"bytes=-{SIZE + 7}"])
            return Asked(chance.choice([header, "bytes=-0"]), Span(0, SIZE))  # Glance takes -0 for 0
        case "between":
            first, last = sorted((place, other))
            return Asked(f"bytes={first}-{last}", Span(first, last + 1))
        case "past the end":
            return Asked(f"bytes={place}-{SIZE + length}", Span(place, SIZE))
        case _:
            first = SIZE + chance.choice([0, 1, length])
            bad = [f"bytes={first}-", f"bytes={first}-{first + length}", f"bytes={place + 1}-{place}", "bytes=-"]
            return Asked(chance.choice(bad), None)


def _place(chance: random.Random, edges: tuple[int, ...]) -> int:
    near = chance.choice([0, SIZE - 1, SIZE - HELD_BACK, chance.randrange(1, 7) * MIB, *edges])
    place = chance.choice([chance.randrange(SIZE), near + chance.choice([-4096, -1, 0, 1, 4096])])
    return min(max(0, place), SIZE - 1)


def header_to_store(span: Span) -> str | None:
    """How the store is asked for it."""
    if span == Span(0, SIZE):
        return None
    return f"bytes={span.start}-" if span.stop == SIZE else f"bytes={span.start}-{span.stop - 1}"


async def check_all(session: aiohttp.ClientSession, url: str, asks: list[Asked]) -> None:
    """Some at a time."""
    left = iter(asks)

    async def client() -> None:
        for ask in left:
            await check(session, url, ask)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(AT_ONCE):
            tasks.create_task(client())


async def check(session: aiohttp.ClientSession, url: str, ask: Asked) -> None:
    async with session.get(url, headers={"Range": ask.header}) as answer:
        body = await answer.read()
        if ask.span is None:
            assert (answer.status, answer.headers["Content-Range"]) == (416, f"bytes */{SIZE}"), ask
            return
        assert answer.status == 206, ask
        assert answer.headers["Content-Range"] == f"bytes {ask.span.start}-{ask.span.stop - 1}/{SIZE}", ask
        assert answer.content_length == ask.span.length == len(body), ask
        assert body == CONTENT.read(ask.span.start, ask.span.stop), ask


async def part(glint: Served, image_id: str, first: int, last: int) -> bytes:
    async with glint.session.get(glint.file_url(image_id), headers={"Range": f"bytes={first}-{last}"}) as answer:
        assert answer.status == 206, await answer.text()
        return await answer.read()


async def written(glint: Served, image_id: str, size_bytes: int) -> None:
    """Wait until the fill has come so far."""
    async with asyncio.timeout(30):
        while True:
            filling = await glint.services.cache.filling(image_id)
            if filling is not None and filling.written_bytes >= size_bytes:
                return
            await asyncio.sleep(0.005)
