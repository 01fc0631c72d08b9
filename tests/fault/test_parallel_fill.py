"""Images that one request brings slowly, read by several at once: what the store sees, what becomes of its faults."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.content import MIB, Noise
from tests.origin import Counts, Fault, Gate, Origin
from tests.served import Served, config_for, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

CONTENT = Noise(24 * MIB + 3, seed=9)
PART_BYTES = MIB
SLOWLY = Fault(rate_bytes_s=6 * MIB)  # each answer by itself: so slow that it is the bound also on a busy machine
PARALLEL: Mapping[str, Any] = {
    "cache": {"size_max": "256 MiB", "fill_idle_s": 15},
    "stores": {
        "backends": {"web": {"parallel_reads_max": 6, "read_ahead_max": "8 MiB", "first_byte_s": 10, "idle_s": 10}}
    },
    "api": {"show_multiple_locations": True},
}
NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as served:
        yield served


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """Parts are small, and who breaks is asked again at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("upstream.stores.parallel.reading.PART_BYTES", PART_BYTES)
        patch.setattr("cache.resume.pause_s", lambda _failures, _chance: 0.001)
        patch.setattr("upstream.retry._SLOT_FIRST_S", 0.02)
        yield


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def glint(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    async with serving(config_for(tmp_path_factory.mktemp("glint"), PARALLEL)) as served:
        yield served


@pytest_asyncio.fixture(loop_scope="module")
async def image(glint: Served, origin: Origin) -> tuple[str, str]:
    """The id of a new image, and its name at the origin, which brings each part slowly."""
    name = f"disk-{next(NUMBERS)}"
    origin.add(name, CONTENT)
    image_id = await glint.register(CONTENT, origin.url(name))
    origin.counts(name).requests.clear()
    origin.always(name, SLOWLY)
    return image_id, name


def spans(counts: Counts) -> list[tuple[int, int]]:
    """What was asked for, in order of place."""
    asked = [range_.removeprefix("bytes=").split("-") for range_ in counts.ranges if range_]
    return sorted((int(first), int(last) + 1) for first, last in asked)


async def is_whole(glint: Served, image_id: str) -> bool:
    return await glint.fetch(image_id) == CONTENT.read()


async def test_a_cold_image_is_read_by_several_requests_at_once_and_each_byte_once(
    glint: Served, origin: Origin, image: tuple[str, str]
) -> None:
    image_id, name = image

    assert await is_whole(glint, image_id)

    await glint.until_cached(image_id)
    counts = origin.counts(name)
    assert counts.sent_bytes == CONTENT.size_bytes
    assert counts.at_once_max >= 3
    asked = spans(counts)
    assert (asked[0][0], asked[-1][1]) == (0, CONTENT.size_bytes)
    assert all(before[1] == after[0] for before, after in itertools.pairwise(asked))
    assert glint.counted("glint_store_parts_total", store="web") >= len(asked)
    assert glint.counted("glint_store_parallel_depth", store="web") > 1
    await glint.until(lambda: glint.counted("glint_store_read_ahead_bytes", store="web") == 0)


async def test_parts_that_are_cut_are_asked_for_from_where_they_broke_and_no_byte_twice(
    glint: Served, origin: Origin, image: tuple[str, str]
) -> None:
    image_id, name = image
    cuts = (None, 0, MIB // 2, None, MIB - 1, 1)
    origin.script(name, *(SLOWLY if at is None else Fault(cut_at=at, rate_bytes_s=12 * MIB) for at in cuts))
    before = glint.counted("glint_fill_resumes_total", reason="WrongLength")

    assert await is_whole(glint, image_id)

    assert origin.counts(name).sent_bytes == CONTENT.size_bytes
    assert glint.counted("glint_store_part_retries_total", store="web") >= 4
    assert glint.counted("glint_fill_resumes_total", reason="WrongLength") == before


async def test_a_server_that_ignores_range_is_read_by_one_request(
    glint: Served, origin: Origin, image: tuple[str, str]
) -> None:
    image_id, name = image
    origin.always(name, Fault(ignore_range=True))

    assert await is_whole(glint, image_id)

    assert (origin.counts(name).gets, origin.counts(name).sent_bytes) == (1, CONTENT.size_bytes)


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_server_that_ignores_range_and_breaks_off_is_read_on(
    glint: Served, origin: Origin, image: tuple[str, str], framing: str
) -> None:
    image_id, name = image
    origin.always(name, Fault(ignore_range=True, framing="chunked" if framing == "chunked" else "length"))
    origin.script(name, Fault(ignore_range=True, cut_at=3 * MIB, framing="length"))

    assert await is_whole(glint, image_id)

    assert origin.counts(name).gets == 2


async def test_parts_of_an_object_of_another_size_are_refused(
    glint: Served, origin: Origin, image: tuple[str, str]
) -> None:
    image_id, name = image
    total = CONTENT.size_bytes + 1
    origin.always(name, Fault(headers={"Content-Range": f"bytes 0-{PART_BYTES - 1}/{total}"}))

    async with glint.session.get(glint.file_url(image_id)) as answer:
        assert answer.status == 503
    assert len(origin.counts(name).ranges) == 1


async def test_an_object_that_is_replaced_between_two_parts_gives_no_body(
    glint: Served, origin: Origin, image: tuple[str, str]
) -> None:
    image_id, name = image
    origin.script(name, *(SLOWLY for _ in range(5)))
    origin.always(name, Fault(etag='"another"'))

    with pytest.raises(aiohttp.ClientError):
        await glint.fetch(image_id)

    origin.always(name, None)
    async with asyncio.timeout(30):
        while not await heals(glint, image_id):  # noqa: ASYNC110 - asked again and again
            await asyncio.sleep(0.05)


async def test_a_store_that_dies_in_the_middle_is_left_for_the_second_location(
    glint: Served, origin: Origin, image: tuple[str, str]
) -> None:
    image_id, name = image
    origin.add(f"{name}-second", CONTENT)
    patch = [{"op": "add", "path": "/locations/-", "value": {"url": origin.url(f"{name}-second"), "metadata": {}}}]
    headers = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
    async with glint.session.patch(f"{glint.url}/v2/images/{image_id}", json=patch, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
    origin.script(name, *(SLOWLY for _ in range(4)))
    origin.always(name, Fault(refuse=True))

    assert await is_whole(glint, image_id)

    first, second = origin.counts(name), origin.counts(f"{name}-second")
    assert first.sent_bytes >= PART_BYTES
    # What lay ready behind the part that never came has to be read again: no more than is read ahead.
    assert first.sent_bytes + second.sent_bytes <= CONTENT.size_bytes + 8 * MIB + MIB


async def test_a_part_that_hangs_is_asked_for_again(tmp_path: Path, origin: Origin) -> None:
    name = f"disk-{next(NUMBERS)}"
    origin.add(name, CONTENT)
    web = PARALLEL["stores"]["backends"]["web"] | {"first_byte_s": 1, "idle_s": 2}
    async with serving(config_for(tmp_path, {**PARALLEL, "stores": {"backends": {"web": web}}})) as glint:
        image_id = await glint.register(CONTENT, origin.url(name))
        origin.script(name, SLOWLY, SLOWLY, Fault(gate=Gate(at=MIB // 2)), SLOWLY, Fault(gate=Gate()))

        assert await is_whole(glint, image_id)

    assert origin.counts(name).sent_bytes <= CONTENT.size_bytes + 2 * MIB


async def test_a_glint_that_stops_leaves_no_request_behind(tmp_path: Path, origin: Origin) -> None:
    name = f"disk-{next(NUMBERS)}"
    origin.add(name, CONTENT)
    changes = {**PARALLEL, "server": {"drain_s": 0.1}}
    async with serving(config_for(tmp_path, changes)) as glint:
        image_id = await glint.register(CONTENT, origin.url(name))
        origin.always(name, SLOWLY)
        async with glint.session.get(glint.file_url(image_id)) as answer:
            await answer.content.readexactly(MIB)

    await origin.until(name, lambda counts: counts.at_once == 0)


async def heals(glint: Served, image_id: str) -> bool:
    async with glint.session.get(glint.file_url(image_id)) as answer:
        return answer.status == 200 and await answer.read() == CONTENT.read()
