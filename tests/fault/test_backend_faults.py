"""What a store does wrong, and what becomes of all who read: one cell for each fault and each kind of reader.

Whatever happens, a body that ends well is right, the cache holds the image only if it is right, the store sends little
twice, nothing is left over, and the next ask works.
"""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from cache import Span
from proxy.config import Config
from tests.content import KIB, MIB, Noise
from tests.origin import Counts, Fault, Gate, Origin
from tests.served import Served, config_for, serving
from upstream.stores.overlap import OVERLAP_BYTES

pytestmark = pytest.mark.asyncio(loop_scope="module")

CONTENT = Noise(3 * MIB + 3, seed=5)
WHOLE = Span(0, CONTENT.size_bytes)
PART = Span(MIB, MIB + 512 * KIB)  # less of the image than starts a fill of it
FLIPPED = 2 * MIB
FLIPS = {"the first byte": 0, "a byte": FLIPPED, "the last byte": CONTENT.size_bytes - 1}
PATIENT = {"api": {"show_multiple_locations": True}}
QUICK = PATIENT | {
    "cache": {"fill_idle_s": 1},
    "stores": {"backends": {"web": {"first_byte_s": 1.2, "idle_s": 1}}},
}
LOST_PER_CUT_BYTES = 256 * KIB  # what a reader has in hand when the connection ends
SOON_S = 60.0
NUMBERS = itertools.count()

Cuts = Callable[[int], tuple[Fault, ...]]
"""The answers of a store, one after another, given how many bytes its reader asks for first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A fault and what a client sees of it: `whole`, `refused` by a status, or `cut` in mid-body.

    `first` are the answers to the first requests, `later` is the one to all others. `resumes_at` is where the second
    request is to begin, `again_bytes` what the store has to send a second time. `in_part` and `in_fill` are what
    readers of a range see, past the cache and of a fill, where that is something else; `never`: not to be tried.
    """

    name: str
    first: Cuts = lambda _: ()
    later: Fault | None = None
    ends: str = "whole"
    in_part: str | None = None
    in_fill: str | None = None
    resumes_at: Callable[[int], int] | None = None
    again_bytes: int = 0
    has_second: bool = False

    @property
    def hangs(self) -> bool:
        return any(fault.gate is not None for fault in (*self.first(CONTENT.size_bytes), self.later or Fault()))


def _always(name: str, fault: Fault, ends: str, *, in_part: str | None = None) -> Case:
    return Case(name=name, later=fault, ends=ends, in_part=in_part)


def _cut(name: str, at: Callable[[int], int]) -> Case:
    return Case(name=name, first=lambda size: (Fault(cut_at=at(size)),), resumes_at=at)


def _then(name: str, second: Fault, *, again_bytes: int = 0) -> Case:
    """Cut in the middle, and the next answer is wrong as well."""
    return Case(name=name, first=lambda size: (Fault(cut_at=size // 2), second), again_bytes=again_bytes)


def _lying(name: str, at: int) -> Case:
    """Nobody can prove a part by itself: its reader is given what the store gives."""
    first = (Fault(flip_at=at),)
    return Case(name=f"{name} is wrong", first=lambda _: first, ends="cut", in_fill="whole", in_part="never")


def _second(name: str, first: Fault, *, ends: str = "whole", again_bytes: int = 0) -> Case:
    """The first location always does this, and there is another one."""
    is_wrong = ends == "cut"
    return Case(
        name=f"the first of two {name}",
        later=first,
        ends=ends,
        in_fill="whole" if is_wrong else None,
        in_part="never" if is_wrong else None,
        again_bytes=again_bytes,
        has_second=True,
    )


def _half(size: int) -> int:
    return size // 2


ONE_PLACE = [
    _always("nothing", Fault(), "whole"),
    _always("refuses", Fault(refuse=True), "refused"),
    _always("says 500", Fault(status=500), "refused"),
    _always("says 503", Fault(status=503), "refused"),
    _always("says 404", Fault(status=404), "refused"),
    _always("says 403", Fault(status=403), "refused"),
    _always("hangs before the head", Fault(gate=Gate()), "refused"),
    Case(name="hangs in mid-body", first=lambda size: (Fault(gate=Gate(at=size // 2)),), resumes_at=_half),
    _cut("cut before the first byte", lambda _: 0),
    _cut("cut after the first byte", lambda _: 1),
    _cut("cut in the middle", _half),
    # A reset throws away what the store's own kernel had not sent yet.
    Case(name="reset", first=lambda size: (Fault(cut_at=size // 2, reset=True),), again_bytes=CONTENT.size_bytes),
    _cut("cut before the last byte", lambda size: size - 1),
    Case(name="slow for a part", first=lambda _: (Fault(rate_bytes_s=KIB, cut_at=300),), resumes_at=lambda _: 300),
    Case(name="cut again and again", first=lambda size: tuple(Fault(cut_at=size // 5) for _ in range(4))),
    _always("cut after each byte", Fault(cut_at=1), "cut"),
    _always("cut before each byte", Fault(cut_at=0), "cut"),
    _then("ignores Range when it is read on", Fault(ignore_range=True), again_bytes=CONTENT.size_bytes),
    _then("refuses when it is read on", Fault(refuse=True)),
    _then("says 503 when it is read on", Fault(status=503)),
    _then("hangs before the head when it is read on", Fault(gate=Gate())),
    _then("announces a byte too many when it is read on", Fault(length_off=1), again_bytes=CONTENT.size_bytes),
    _then("announces a byte too few when it is read on", Fault(length_off=-1), again_bytes=CONTENT.size_bytes),
    _then(
        "answers with another part",
        Fault(headers={"Content-Range": f"bytes 0-9/{CONTENT.size_bytes}"}),
        again_bytes=CONTENT.size_bytes,
    ),
    Case(
        name="is another object when it is read on",
        first=lambda size: (Fault(cut_at=size // 2),),
        later=Fault(etag='"other"'),
        ends="cut",
        in_fill="whole",
    ),
    Case(
        name="is another object, whatever If-Range says",
        first=lambda size: (Fault(cut_at=size // 2),),
        later=Fault(etag='"other"', ignore_if_range=True),
        ends="cut",
        in_fill="whole",
    ),
    _always("announces a byte too few", Fault(length_off=-1), "refused"),
    _always("announces a byte too many", Fault(length_off=1), "refused"),
    *(_lying(name, at) for name, at in FLIPS.items()),
    _always("chunked", Fault(framing="chunked"), "whole"),
    Case(name="chunked, cut", first=lambda size: (Fault(framing="chunked", cut_at=size // 2),), resumes_at=_half),
    _always("neither length nor chunks", Fault(framing="close"), "refused", in_part="whole"),
    _always("compressed unasked", Fault(gzip=True), "refused"),
]
TWO_PLACES = [
    _second("refuses", Fault(refuse=True)),
    _second("says 503", Fault(status=503)),
    _second("says 404", Fault(status=404)),
    _second("hangs before the head", Fault(gate=Gate())),
    _second("hangs in mid-body", Fault(gate=Gate(at=MIB // 2))),
    _second("is cut at once", Fault(cut_at=0)),
    _second("is cut in the middle", Fault(cut_at=MIB // 2)),
    _second("announces a byte too few", Fault(length_off=-1), again_bytes=CONTENT.size_bytes),
    _second("announces a byte too many", Fault(length_off=1), again_bytes=CONTENT.size_bytes),
    _second("sends a byte wrong", Fault(flip_at=FLIPPED), ends="cut"),
]


@dataclass(frozen=True, slots=True)
class Scene:
    """Two workers of one Glint, an image, and its first location's gate, which holds until all have come."""

    here: Served
    there: Served
    origin: Origin
    image_id: str
    name: str
    gate: Gate
    opens_to: float  # then it hangs

    async def all_of_a_fill(self) -> dict[str, str]:
        """Who starts it, and three who come while the store is silent."""
        async with asyncio.TaskGroup() as tasks:
            asks = {"leader": tasks.create_task(outcome(self.here, self.image_id))}
            await self.gate.reached()
            asks["follower"] = tasks.create_task(outcome(self.here, self.image_id))
            asks["range"] = tasks.create_task(outcome(self.here, self.image_id, PART))
            asks["follower elsewhere"] = tasks.create_task(outcome(self.there, self.image_id))
            await self.here.until(lambda: is_joined_by(self.here, self.image_id, 3))
            await self.there.until(lambda: is_joined_by(self.there, self.image_id, 1))
            await self.release()
        return {name: ask.result() for name, ask in asks.items()}

    async def range_past_the_cache(self) -> dict[str, str]:
        async with asyncio.TaskGroup() as tasks:
            ask = tasks.create_task(outcome(self.here, self.image_id, PART))
            await self.release()
        return {"range past the cache": ask.result()}

    async def prewarm(self) -> dict[str, str]:
        async with self.here.session.put(f"{self.here.url}/v2/cache/{self.image_id}") as answer:
            assert answer.status == 202
        await self.release()
        await until(lambda: self.state_is("cached", "failed"))
        return {"prewarm": "whole" if await self.state_is("cached") else "cut"}

    async def release(self) -> None:
        """Let the first answer go on: to where it hangs, if it does."""
        await self.gate.reached()
        self.gate.open(self.opens_to)

    async def state_is(self, *states: str) -> bool:
        async with self.here.session.get(f"{self.here.url}/v2/cache/{self.image_id}") as answer:
            assert answer.status == 200, await answer.text()
            return (await answer.json())["state"] in states


ACTORS = {
    "readers of a fill": Scene.all_of_a_fill,
    "a range past the cache": Scene.range_past_the_cache,
    "prewarm": Scene.prewarm,
}
CELLS = [
    pytest.param(case, actors, id=f"{case.name}: {actors}")
    for case in (*ONE_PLACE, *TWO_PLACES)
    for actors in ACTORS
    if actors != "a range past the cache" or case.in_part != "never"
]


def expected(case: Case, actor: str) -> set[str]:
    """What this actor may see. Who had no byte yet of what has failed may have tried anew."""
    if actor == "range past the cache":
        return {case.in_part or case.ends}
    if actor == "range":
        return {case.in_fill or case.ends}
    if actor == "prewarm":
        return {"whole"} if case.ends == "whole" else {"cut", "whole"} if case.has_second else {"cut"}
    if actor == "follower elsewhere" and case.ends == "cut":
        return {"cut", "whole", "refused"}
    return {case.ends}


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as served:
        yield served


@dataclass(frozen=True, slots=True)
class Workers:
    """Twice two Glints on one cache folder and one registry, as two workers are.

    The `quick` ones soon give up a store that hangs. To the others a busy machine is no hanging store.
    """

    patient: tuple[Served, Served]
    quick: tuple[Served, Served]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def workers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Workers]:
    """Who breaks is asked again at once."""
    async with AsyncExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr("cache.resume.pause_s", lambda _failures, _chance: 0.001)
        patch.setattr("upstream.retry._SLOT_FIRST_S", 0.02)

        async def two(changes: Mapping[str, Any]) -> tuple[Served, Served]:
            config: Config = config_for(tmp_path_factory.mktemp("glint"), changes)
            here = await stack.enter_async_context(serving(config))
            return here, await stack.enter_async_context(serving(config))

        yield Workers(await two(PATIENT), await two(QUICK))


@pytest.mark.parametrize(("case", "actors"), CELLS)
async def test_whatever_the_store_does_nobody_gets_a_wrong_body_and_little_is_read_twice(
    workers: Workers, origin: Origin, case: Case, actors: str
) -> None:
    span = PART if actors == "a range past the cache" else WHOLE
    scene = await staged(workers, origin, case, span)

    seen = await ACTORS[actors](scene)

    assert {actor: ends for actor, ends in seen.items() if ends not in expected(case, actor)} == {}
    counts = origin.counts(scene.name)
    if case.ends == "whole":
        lost_bytes = LOST_PER_CUT_BYTES * max(0, counts.gets - 1) + (OVERLAP_BYTES if case.has_second else 0)
        assert sent_bytes(scene, case) <= span.length + case.again_bytes + lost_bytes
    if case.resumes_at is not None:
        check_resumed(counts, span, case.resumes_at(span.length), may_hang_again=case.hangs)
    await check_cached(scene, is_expected=case.ends == "whole" and span == WHOLE)
    await check_heals(scene)


async def test_an_image_whose_first_location_lies_is_cached_from_the_second_without_another_ask(
    workers: Workers, origin: Origin
) -> None:
    case = next(case for case in TWO_PLACES if case.ends == "cut")
    scene = await staged(workers, origin, case, WHOLE)
    assert (await scene.all_of_a_fill())["leader"] == "cut"
    await until(lambda: scene.state_is("cached"))
    assert [origin.counts(name).gets for name in (scene.name, f"{scene.name}-second")] == [1, 1]
    before = origin.counts(f"{scene.name}-second").gets
    assert await outcome(scene.here, scene.image_id) == "whole"
    assert origin.counts(f"{scene.name}-second").gets == before


async def test_a_store_that_redirects_is_read_where_it_points_and_refused_where_that_is_nowhere(
    workers: Workers, origin: Origin
) -> None:
    here, _ = workers.patient
    for name in ("pointing", "pointed-at"):
        origin.add(name, CONTENT)
    image_id = await here.register(CONTENT, origin.url("pointing"))
    origin.always("pointing", Fault(redirect=origin.refused_url))
    assert await outcome(here, image_id) == "refused"
    origin.always("pointing", Fault(redirect=origin.url("pointing")))  # in a circle
    await until(lambda: _is(here, image_id, "refused"))
    origin.always("pointing", Fault(redirect=origin.url("pointed-at")))
    origin.script("pointed-at", Fault(cut_at=MIB))
    await until(lambda: _is(here, image_id, "whole"))
    assert origin.counts("pointed-at").ranges == [None, f"bytes={MIB}-"]
    assert origin.counts("pointed-at").sent_bytes == CONTENT.size_bytes


@pytest.mark.parametrize("fault", [Fault(refuse=True), Fault(status=503), Fault(status=404)], ids=repr)
async def test_a_storm_for_an_image_that_its_store_refuses_is_few_requests(
    workers: Workers, origin: Origin, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    monkeypatch.setattr("upstream.retry._SLOT_FIRST_S", 5.0)
    name = f"storm-{next(NUMBERS)}"
    origin.add(name, CONTENT)
    origin.always(name, fault)
    here, there = workers.patient
    image_id = await here.register(CONTENT, origin.url(name))
    origin.counts(name).requests.clear()
    asked = origin.counts(name).gets
    async with asyncio.TaskGroup() as tasks:
        asks = [tasks.create_task(outcome(glint, image_id)) for glint in (here, there) for _ in range(100)]
    assert {ask.result() for ask in asks} == {"refused"}
    assert origin.counts(name).gets - asked <= 4  # each worker finds out by itself; who is reset asks twice


async def staged(workers: Workers, origin: Origin, case: Case, span: Span) -> Scene:
    """The image is registered, and its first location's first answer is held."""
    here, there = workers.quick if case.hangs else workers.patient
    name = f"disk-{next(NUMBERS)}"
    origin.add(name, CONTENT)
    image_id = await here.register(CONTENT, origin.url(name))
    if case.has_second:
        origin.add(f"{name}-second", CONTENT)
        await add_location(here, image_id, origin.url(f"{name}-second"))
    answers = case.first(span.length) or (case.later or Fault(),)
    gate, hangs = Gate(), answers[0].gate
    origin.script(name, replace(answers[0], gate=gate), *answers[1:])
    origin.always(name, case.later)
    origin.counts(name).gets = 0
    origin.counts(name).requests.clear()
    return Scene(here, there, origin, image_id, name, gate, float("inf") if hangs is None else hangs.at)


async def add_location(glint: Served, image_id: str, url: str) -> None:
    operations = [{"op": "add", "path": "/locations/-", "value": {"url": url, "metadata": {}}}]
    headers = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
    url = f"{glint.url}/v2/images/{image_id}"
    async with glint.session.patch(url, data=json.dumps(operations), headers=headers) as answer:
        assert answer.status == 200, await answer.text()


def sent_bytes(scene: Scene, case: Case) -> int:
    names = [scene.name, f"{scene.name}-second"][: 1 + case.has_second]
    return sum(scene.origin.counts(name).sent_bytes for name in names)


def check_resumed(counts: Counts, span: Span, at: int, *, may_hang_again: bool) -> None:
    """The second request asked for the rest, and for a proof that it is the rest of the same.

    To who has little patience a busy machine is a store that hangs: he may have asked once more.
    """
    first, second, *more = (request.headers for request in counts.requests if request.method == "GET")
    assert may_hang_again or not more
    last = "" if span == WHOLE else str(span.stop - 1)
    start = span.start + at
    assert first.get("range") == (None if span == WHOLE else f"bytes={span.start}-{last}")
    assert second.get("range") == (f"bytes={start}-{last}" if start else None)
    assert second.get("if-range") == (CONTENT.etag if start else None)


async def check_cached(scene: Scene, *, is_expected: bool) -> None:
    """The entry is there if it should be, and only whole."""
    if is_expected:
        await until(lambda: scene.state_is("cached"))
    path = scene.here.services.config.cache.dir / "entries" / scene.image_id[:2] / scene.image_id
    if await asyncio.to_thread(path.exists):
        assert await asyncio.to_thread(path.read_bytes) == CONTENT.read()


async def check_heals(scene: Scene) -> None:
    """With the store well again the next ask works, and nothing is left of what was before."""
    scene.gate.open()
    scene.origin.always(scene.name, None)
    await until(lambda: _is(scene.there, scene.image_id, "whole"))
    await until(lambda: scene.state_is("cached"))
    await until(lambda: is_tidy(scene.here))
    async with scene.here.session.delete(f"{scene.here.url}/v2/cache/{scene.image_id}") as answer:
        assert answer.status == 204


async def is_tidy(glint: Served) -> bool:
    """No growing file, none on its way out, and nothing promised."""
    folder: Path = glint.services.config.cache.dir
    left = await asyncio.to_thread(lambda: [*(folder / "fills").iterdir(), *(folder / "leaving").iterdir()])
    return not left and (await glint.services.cache.usage()).reserved_bytes == 0


def is_joined_by(glint: Served, image_id: str, readers: int) -> bool:
    flight = glint.services.cache._flights.get(image_id)  # nothing outside tells who waits
    return flight is not None and flight.readers == readers and flight.located.is_set()


async def outcome(glint: Served, image_id: str, span: Span | None = None) -> str:
    """What a client could tell: `whole` for a body that ended well, `cut` for one that did not, `refused`."""
    headers = {"Range": f"bytes={span.start}-{span.stop - 1}"} if span else {}
    try:
        async with glint.session.get(glint.file_url(image_id), headers=headers) as answer:
            if answer.status not in {200, 206}:
                assert answer.status in {204, 503}
                return "refused"
            body = await answer.read()
    except (aiohttp.ClientError, asyncio.IncompleteReadError):
        return "cut"
    wanted = span or WHOLE
    assert body == CONTENT.read(wanted.start, wanted.stop)
    return "whole"


async def _is(glint: Served, image_id: str, wanted: str) -> bool:
    return await outcome(glint, image_id) == wanted


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait for an answer of Glint's that nobody announces."""
    async with asyncio.timeout(SOON_S):
        while not await holds():  # noqa: ASYNC110 - asked again and again
            await asyncio.sleep(0.02)
