"""What Swift and S3, or the way to them, do wrong while an image is read, and what becomes of all who read it.

A body that ends well is right, the cache holds the image only if it is right, nothing is left over, the next ask works.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest
import pytest_asyncio

from cache import Span
from tests.content import KIB, MIB, Fixed, Noise
from tests.fault.object_stores import OBJECT_STORES, Scene, scene_of, until
from tests.origin import Origin
from tests.relay import Fault, Gate, Rule

pytestmark = pytest.mark.asyncio(loop_scope="module")

CONTENT = Noise(3 * MIB + 3, seed=5)
SIZE = CONTENT.size_bytes
PART = Span(MIB, MIB + 512 * KIB)  # less of the image than starts a fill of it
FLIPPED = {"first": 0, "middle": 2 * MIB, "last": SIZE - 1}  # in no part that is asked for
ANY = ("whole", "cut", "refused")
FAILED = ("cut", "refused")
WHOLE = ("whole",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Faults of the first answers, one after another, then `later` of all others; and what a reader may see.

    `in_fill` is for who wants a part of a fill, where that is something else, and `in_part` for who reads one past the
    cache; None: nobody could tell there.
    `is_short`: also in `make test`.
    """

    name: str
    first: tuple[Fault, ...] = ()
    later: Fault | None = None
    ends: tuple[str, ...] = WHOLE
    in_fill: tuple[str, ...] = ()
    in_part: tuple[str, ...] | None = ()
    is_short: bool = False


def _always(name: str, fault: Fault, *, is_short: bool = False) -> Case:
    return Case(name=name, later=fault, ends=FAILED, is_short=is_short)


def _once(name: str, *first: Fault, is_short: bool = False) -> Case:
    return Case(name=name, first=first, is_short=is_short)


# A part is half a MiB: what is to happen to it, too, comes early.
EARLY = 200 * KIB

CASES = [
    _always("refuses", Fault(refuse=True)),
    _once("refuses once", Fault(refuse=True)),
    _always("says 500", Fault(status=500)),
    _always("says 503", Fault(status=503), is_short=True),
    Case(name="says 503 once", first=(Fault(status=503),), ends=ANY),
    _always("says 404", Fault(status=404)),
    _always("says 403", Fault(status=403)),
    _always("says 401", Fault(status=401)),
    _always("hangs before the head", Fault(gate=Gate())),
    _once("hangs in mid-body", Fault(gate=Gate(at=EARLY))),
    _once("cut before the first byte", Fault(cut_at=0)),
    _once("cut after the first byte", Fault(cut_at=1)),
    _once("cut in the middle", Fault(cut_at=EARLY), is_short=True),
    _once("reset in the middle", Fault(cut_at=EARLY, reset=True)),
    _once("cut before the last byte", Fault(cut_at=PART.length - 1)),
    _once("cut again and again", *(Fault(cut_at=EARLY // 4) for _ in range(4))),
    _always("cut before each byte", Fault(cut_at=0)),
    _once("slow for a part", Fault(rate_bytes_s=KIB, cut_at=300)),
    _once("ignores Range when it is read on", Fault(cut_at=EARLY), Fault(whole=CONTENT), is_short=True),
    _once("refuses when it is read on", Fault(cut_at=EARLY), Fault(refuse=True)),
    _once("says 503 when it is read on", Fault(cut_at=EARLY), Fault(status=503)),
    _once("hangs when it is read on", Fault(cut_at=EARLY), Fault(gate=Gate())),
    _once("answers with another part", Fault(cut_at=EARLY), Fault(headers={"Content-Range": f"bytes 0-9/{SIZE}"})),
    _once("says a byte too many when it is read on", Fault(cut_at=EARLY), Fault(length_off=1)),
    _once("says a byte too few when it is read on", Fault(cut_at=EARLY), Fault(length_off=-1), is_short=True),
    Case(
        name="is another object when it is read on",
        first=(Fault(cut_at=EARLY),),
        later=Fault(etag='"0123456789abcdef0123456789abcdef"'),
        ends=ANY,
        is_short=True,
    ),
    Case(name="gives another object", later=Fault(whole=Fixed(b"something else")), ends=FAILED),
    _always("says a byte too few", Fault(length_off=-1)),
    _always("says a byte too many", Fault(length_off=1)),
    *(
        Case(
            name=f"the {which} byte is wrong",
            first=(Fault(flip_at=at),),
            ends=FAILED,
            in_fill=ANY,
            in_part=None,
            is_short=at == 0,
        )
        for which, at in FLIPPED.items()
    ),
    _once("chunked", Fault(framing="chunked")),
    Case(name="chunked and cut", first=(Fault(framing="chunked", cut_at=EARLY),), ends=WHOLE),
    Case(name="neither length nor chunks", first=(Fault(framing="close"),), ends=ANY),
    Case(
        name="neither length nor chunks, and cut", later=Fault(framing="close", cut_at=EARLY), ends=FAILED, in_part=ANY
    ),
]


def case_of(case: Case, *, is_short: bool) -> Any:
    return pytest.param(case, id=case.name, marks=[] if is_short else [pytest.mark.long])


IN_FILL = [case_of(case, is_short=case.is_short) for case in CASES]
IN_PART = [case_of(case, is_short=case.is_short and case.ends == WHOLE) for case in CASES if case.in_part is not None]


STORES = [
    pytest.param(name, marks=[] if maker.is_short else [pytest.mark.long]) for name, maker in OBJECT_STORES.items()
]


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=STORES)
async def scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    async with scene_of(request.param, request, tmp_path_factory.mktemp("glint")) as scene:
        yield scene


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def image_id(scene: Scene) -> AsyncIterator[str]:
    """One image for all cells: each leaves it as it was."""
    image_id = await scene.uploaded(CONTENT)
    yield image_id
    assert await scene.delete(image_id) == 204
    assert await scene.store.is_empty()


@pytest.fixture
def healed(scene: Scene) -> Iterator[None]:
    yield
    scene.relay.heal()
    scene.relay.forget()


@dataclass(frozen=True, slots=True)
class Broken:
    """What is wrong with an image's reads from now on. The first of them is held until it is let go on."""

    rules: list[Rule]
    gate: Gate
    opens_to: float

    @property
    def made(self) -> int:
        return sum(rule.made for rule in self.rules)

    async def release(self) -> None:
        """Let the first answer go on: to where it hangs, if it does."""
        await self.gate.reached()
        self.gate.open(self.opens_to)


def break_reads(scene: Scene, image_id: str, case: Case) -> Broken:
    method, pattern = scene.store.read.of(image_id)
    gate, (first, *others) = Gate(), case.first or (case.later or Fault(),)
    rules = [scene.relay.on(method, pattern, replace(first, gate=gate))]
    for number, fault in enumerate(others, 1):
        rules.append(scene.relay.on(method, pattern, _fresh(fault), skip=number))
    if case.later is not None:
        rules.append(scene.relay.on(method, pattern, _fresh(case.later), skip=len(rules), times=None))
    return Broken(rules, gate, float("inf") if first.gate is None else first.gate.at)


def _fresh(fault: Fault) -> Fault:
    """A gate that was opened stays open."""
    return fault if fault.gate is None else replace(fault, gate=Gate(at=fault.gate.at))


@pytest.mark.usefixtures("healed")
@pytest.mark.parametrize("case", IN_FILL)
async def test_none_of_those_who_share_a_fill_gets_a_wrong_body(scene: Scene, image_id: str, case: Case) -> None:
    """Who starts it, one who joins, and one who wants a part of it."""
    broken = break_reads(scene, image_id, case)

    async with asyncio.TaskGroup() as tasks:
        asks = [tasks.create_task(scene.outcome(image_id, CONTENT))]
        await broken.gate.reached()
        asks += [tasks.create_task(scene.outcome(image_id, CONTENT, span)) for span in (None, PART)]
        await scene.until_joined_by(image_id, 3)
        await broken.release()

    assert broken.made > 0
    leader, follower, of_part = (ask.result() for ask in asks)
    assert leader in case.ends
    assert follower in case.ends
    assert of_part in (case.in_fill or case.ends)
    await check_heals(scene, image_id)


@pytest.mark.usefixtures("healed")
@pytest.mark.parametrize("case", IN_PART)
async def test_a_part_that_is_read_past_the_cache_is_right_or_refused(scene: Scene, image_id: str, case: Case) -> None:
    broken = break_reads(scene, image_id, case)

    async with asyncio.TaskGroup() as tasks:
        ask = tasks.create_task(scene.outcome(image_id, CONTENT, PART))
        await broken.release()

    assert broken.made > 0
    assert ask.result() in (case.in_part or case.ends)
    await check_heals(scene, image_id)


async def check_heals(scene: Scene, image_id: str) -> None:
    """What is cached is right; with the store well again the next ask works, and nothing is left of what was before."""
    path = scene.glint.services.config.cache.dir / "entries" / image_id[:2] / image_id
    if await asyncio.to_thread(path.exists):
        assert await asyncio.to_thread(path.read_bytes) == CONTENT.read()
    scene.relay.heal()
    await until(partial(_is_whole, scene, image_id))
    await scene.forget(image_id)


async def _is_whole(scene: Scene, image_id: str) -> bool:
    return await scene.outcome(image_id, CONTENT) == "whole"


@pytest.mark.usefixtures("healed")
async def test_a_redirect_is_not_followed_with_credentials(scene: Scene, image_id: str) -> None:
    method, pattern = scene.store.read.of(image_id)
    with Origin() as elsewhere:
        elsewhere.add("stolen", CONTENT)
        scene.relay.on(method, pattern, Fault(redirect=elsewhere.url("stolen")), times=None)
        seen = await scene.outcome(image_id, CONTENT)
        told = [
            {"x-auth-token", "authorization"} & asked.headers.keys() for asked in elsewhere.counts("stolen").requests
        ]
    assert seen in ANY
    assert not any(told)
    await check_heals(scene, image_id)


@pytest.mark.usefixtures("healed")
async def test_a_token_that_ends_in_mid_transfer_is_renewed(scene: Scene, image_id: str) -> None:
    """The first answer breaks off; who reads on is told that it may not, once."""
    method, pattern = scene.store.read.of(image_id)
    scene.relay.on(method, pattern, Fault(cut_at=EARLY))
    rule = scene.relay.on(method, pattern, Fault(status=401), skip=1)
    seen = await scene.outcome(image_id, CONTENT)
    assert rule.made == 1
    assert seen in (WHOLE if scene.store.kind == "swift" else ANY)
    await check_heals(scene, image_id)
