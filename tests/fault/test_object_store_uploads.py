"""What Swift and S3, or the way to them, do wrong while an image is uploaded.

An upload that is told to have gone well is there, whole and right; after any other the image is queued again, and once
the fault is over nothing of it is left in the store.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest
import pytest_asyncio

from tests.content import KIB, MIB, Content, Noise
from tests.fault.object_stores import OBJECT_STORES, PART_BYTES, Scene, scene_of, until
from tests.relay import Fault, Gate

pytestmark = pytest.mark.asyncio(loop_scope="module")

SMALL = Noise(300 * KIB + 1, seed=6)
IN_PARTS = {kind: Noise(2 * size + MIB // 2 + 3, seed=7) for kind, size in PART_BYTES.items()}
ERROR = b"<?xml version='1.0'?><Error><Code>InternalError</Code><Message>We failed.</Message></Error>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A fault of one step of an upload, `times` in a row (None: until it is over). `is_short`: also in `make test`."""

    name: str
    fault: Fault
    step: str
    times: int | None = 1
    kinds: tuple[str, ...] = ("swift", "s3")
    is_short: bool = False


FAULTS = {
    "refuses": Fault(refuse=True),
    "says 500": Fault(status=500),
    "says 503": Fault(status=503),
    "says 507": Fault(status=507),
    "says 401": Fault(status=401),
    "says 403": Fault(status=403),
    "says 404": Fault(status=404),
    "says 413": Fault(status=413),
    "is cut before the first byte": Fault(take=0),
    "is cut while the body is sent": Fault(take=100 * KIB),
    "is reset while the body is sent": Fault(take=100 * KIB, reset=True),
    "hangs before the answer": Fault(gate=Gate()),
    "loses the answer": Fault(lose_answer=True),
    "loses the answer by a reset": Fault(lose_answer=True, reset=True),
}
WITHOUT_BODY = {name: fault for name, fault in FAULTS.items() if fault.take is None}
SHORT = {
    ("whole", "loses the answer", 1),
    ("second", "is cut while the body is sent", 1),
    ("second", "says 401", 1),
    ("ends", "loses the answer", 1),
}


def _cases(step: str, kinds: tuple[str, ...] = ("swift", "s3")) -> list[Case]:
    return [
        Case(
            name=f"{step} {name}{'' if times else ' always'}",
            fault=fault,
            step=step,
            times=times,
            kinds=kinds,
            is_short=(step, name, times) in SHORT,
        )
        for name, fault in (FAULTS if step in {"whole", "first", "second"} else WITHOUT_BODY).items()
        for times in (1, None)
    ]


CASES = [
    *_cases("whole"),
    *_cases("begins", ("s3",)),
    *_cases("first"),
    *_cases("second"),
    *_cases("ends"),
    Case(name="ends with 200 and an error", fault=Fault(status=200, body=ERROR), step="ends", kinds=("s3",)),
    Case(
        name="ends with 200 and an error always",
        fault=Fault(status=200, body=ERROR),
        step="ends",
        times=None,
        kinds=("s3",),
        is_short=True,
    ),
]
CELLS = [
    pytest.param(
        name,
        case,
        is_sized,
        id=f"{name}, {'sized' if is_sized else 'chunked'}: {case.name}",
        marks=[] if maker.is_short and case.is_short and is_sized != (case.step == "second") else [pytest.mark.long],
    )
    for name, maker in OBJECT_STORES.items()
    for case in CASES
    for is_sized in (True, False)
    if maker.kind in case.kinds and (is_sized or case.step != "whole")  # what has no size yet goes in parts
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    async with scene_of(request.param, request, tmp_path_factory.mktemp("glint")) as scene:
        yield scene


@pytest.mark.parametrize(("scene", "case", "is_sized"), CELLS, indirect=["scene"])
async def test_an_upload_is_there_or_leaves_nothing(scene: Scene, case: Case, is_sized: bool) -> None:
    content = SMALL if case.step == "whole" else IN_PARTS[scene.store.kind]
    image_id = await scene.create()
    fault = case.fault if case.fault.gate is None else replace(case.fault, gate=Gate())  # an opened one stays open
    rule = scene.relay.on(*scene.store.steps[case.step].of(image_id), fault, times=case.times)

    status, text = await scene.put(image_id, content, is_sized=is_sized)
    image = await scene.image(image_id)
    scene.relay.heal()

    assert rule.made > 0, "the fault never came to be"
    if status == 204:
        assert image["status"] == "active"
    else:
        assert 400 <= status < 600, text
        assert status != 500, text
        assert image["status"] == "queued"
        await until(scene.store.is_empty)
        assert (await scene.put(image_id, content))[0] == 204
    await check_is_there(scene, image_id, content)
    assert await scene.delete(image_id) == 204
    await until(scene.store.is_empty)


async def check_is_there(scene: Scene, image_id: str, content: Content) -> None:
    image = await scene.image(image_id)
    assert (image["status"], image["size"]) == ("active", content.size_bytes)
    assert image["os_hash_value"] == content.digest()
    assert await scene.outcome(image_id, content) == "whole"
    await scene.forget(image_id)
