"""Downloads of images behind an origin that is slow, broken or lying: what clients see, how often it was asked."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest

from cache import Digest, Outcome
from tests.clients import download_at_once, fast_digest
from tests.content import KIB, MIB, Noise
from tests.origin import Fault, Gate, Origin
from tests.served import Served, config_for, serving

CONTENT = Noise(5 * MIB + 3, seed=5)
FETCH_ERRORS = (aiohttp.ClientError, asyncio.IncompleteReadError)


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as served:
        served.add("disk", CONTENT)
        yield served


@pytest.fixture
async def glint(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(config_for(tmp_path, {"server": {"drain_s": 5}})) as served:
        yield served


async def test_a_cold_image_is_read_once_and_then_never_again(glint: Served, origin: Origin) -> None:
    image_id = await glint.register(CONTENT, origin.url("disk"))
    assert await glint.fetch(image_id) == CONTENT.read()
    await glint.until_cached(image_id)  # the entry appears after the last byte
    for _ in range(2):
        assert await glint.fetch(image_id) == CONTENT.read()
    assert origin.counts("disk").gets == 1
    await glint.until(lambda: glint.counted("glint_downloads_total", outcome=Outcome.MISS) == 1)
    await glint.until(lambda: glint.counted("glint_downloads_total", outcome=Outcome.HIT) == 2)


async def test_sixty_four_clients_at_once_are_one_read(tmp_path: Path, origin: Origin) -> None:
    content = origin.add("large", Noise(64 * MIB, seed=6))
    async with serving(config_for(tmp_path, {"cache": {"size_max": "300 MiB"}})) as glint:
        image_id = await glint.register(content, origin.url("large"))
        digests = await asyncio.to_thread(download_at_once, glint.file_url(image_id), 64)
    assert digests == [fast_digest(content)] * 64
    assert origin.counts("large").gets == 1
    assert origin.counts("large").sent_bytes == content.size_bytes


async def test_the_first_client_dies_at_a_tenth_and_the_others_lose_nothing(glint: Served, origin: Origin) -> None:
    gate = Gate(at=CONTENT.size_bytes // 10)
    origin.script("disk", Fault(gate=gate))
    image_id = await glint.register(CONTENT, origin.url("disk"))
    async with glint.session.get(glint.file_url(image_id)) as first:
        await first.content.readexactly(CONTENT.size_bytes // 10 - 64 * KIB)
        others = asyncio.gather(*(glint.fetch(image_id) for _ in range(8)))
        await gate.reached()
    gate.open()
    assert set(await others) == {CONTENT.read()}
    assert origin.counts("disk").gets == 1


async def test_an_origin_that_does_not_exist_is_503_and_its_absence_of_data_204(glint: Served, origin: Origin) -> None:
    image_id = await glint.register(CONTENT, origin.url("disk"))
    origin.always("disk", Fault(refuse=True))
    assert await _outcome(glint, image_id) == "503"
    origin.always("disk", Fault(status=404))
    await _until_outcome(glint, image_id, "204")


async def test_a_digest_stated_in_capitals_is_the_same_digest(glint: Served, origin: Origin) -> None:
    digest = Digest("sha512", CONTENT.digest().upper())
    image_id = await glint.register(CONTENT, origin.url("disk"), digest=digest)
    assert await glint.fetch(image_id) == CONTENT.read()


async def test_a_client_of_one_kib_holds_up_neither_the_fill_nor_the_others(glint: Served, origin: Origin) -> None:
    content = origin.add("large", Noise(24 * MIB + 1, seed=7))  # more than the buffers between us and it take
    image_id = await glint.register(content, origin.url("large"))
    async with glint.session.get(glint.file_url(image_id)) as slow:
        begun = await slow.content.readexactly(KIB)
        await glint.until_cached(image_id)
        assert await glint.fetch(image_id) == content.read()
        assert origin.counts("large").sent_bytes == content.size_bytes
        assert glint.counted("glint_download_bytes_total", source="fill") == 0  # it still waits to be read
        assert begun + await slow.read() == content.read()
    assert origin.counts("large").gets == 1


async def test_an_image_larger_than_the_cache_is_served_past_it(tmp_path: Path, origin: Origin) -> None:
    async with serving(config_for(tmp_path, {"cache": {"size_max": "1 MiB"}})) as glint:
        image_id = await glint.register(CONTENT, origin.url("disk"))
        assert await glint.fetch(image_id) == CONTENT.read()
        await glint.until(lambda: glint.counted("glint_downloads_total", outcome=Outcome.BYPASS) == 1)
        origin.script("disk", Fault(flip_at=3))
        assert await _outcome(glint, image_id) == "cut"


async def test_a_deactivated_image_stops_at_once_also_when_it_is_hot(glint: Served, origin: Origin) -> None:
    image_id = await glint.register(CONTENT, origin.url("disk"))
    await glint.fetch(image_id)
    await glint.session.delete(f"{glint.url}/v2/images/{image_id}")
    async with glint.session.get(glint.file_url(image_id)) as answer:
        assert answer.status == 404


async def _until_outcome(glint: Served, image_id: str, outcome: str) -> None:
    """A store that just refused is not asked again before a moment is over."""
    async with asyncio.timeout(30):
        while await _outcome(glint, image_id) != outcome:  # noqa: ASYNC110 - told by nothing but the next answer
            await asyncio.sleep(0.05)


async def _outcome(glint: Served, image_id: str) -> str:
    """What a client could tell: `whole` for a body that ended well, `cut` for one that did not, else the status."""
    try:
        async with glint.session.get(glint.file_url(image_id)) as answer:
            if answer.status != 200:
                return str(answer.status)
            await answer.read()
            return "whole"
    except FETCH_ERRORS:
        return "cut"
