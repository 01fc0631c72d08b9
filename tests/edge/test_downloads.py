"""Downloads before a Glance: allowed by it each time, read from it once, whatever it does meanwhile."""

import asyncio
from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest

from tests.content import MIB, Noise
from tests.edge.conftest import Serve
from tests.edge.fake_glance import ADMIN, ALT, DEMO, FakeGlance, Fault
from tests.edge.serving import Edge
from tests.origin import Origin

DISK = Noise(4 * MIB, seed=5)
DATA = DISK.read()


async def answer_of(edge: Edge, image_id: str, token: str, **headers: str) -> tuple[int, Mapping[str, str], bytes]:
    async with edge.session.get(edge.file_url(image_id), headers={"X-Auth-Token": token, **headers}) as answer:
        return answer.status, answer.headers, await answer.read()


async def until(holds: Any, timeout_s: float = 30) -> None:
    async with asyncio.timeout(timeout_s):
        while not holds():  # noqa: ASYNC110 - set by servers that have no event for it
            await asyncio.sleep(0.01)


async def test_fifty_clients_of_a_cold_image_are_one_read(edge: Edge, fake: FakeGlance) -> None:
    image = fake.add(DATA)
    bodies = await asyncio.gather(*(edge.fetch(image.id, token) for token in (ADMIN, DEMO) * 25))
    assert set(bodies) == {DATA}
    assert len(fake.reads) == 1
    assert fake.asked["authorize"] == 50
    await until(lambda: edge.counted("glint_downloads_total", outcome="miss") == 1)
    await until(lambda: edge.counted("glint_glance_seconds_count", operation="read") == 1)


async def test_a_hit_is_allowed_as_a_miss_is(edge: Edge, fake: FakeGlance) -> None:
    image = fake.add(DATA)
    await edge.fetch(image.id, DEMO)
    await edge.until_cached(image.id)
    image.allowed = {DEMO}
    assert (await answer_of(edge, image.id, ALT))[0] == 404
    status, headers, _ = await answer_of(edge, image.id, "no token of anybody")
    assert (status, headers["WWW-Authenticate"]) == (401, 'Keystone uri="http://k"')
    assert await edge.fetch(image.id, DEMO) == DATA
    await until(lambda: edge.counted("glint_downloads_total", outcome="hit") == 1)
    assert len(fake.reads) == 1


async def test_ranges_and_headers_are_those_of_a_whole_glint(edge: Edge, fake: FakeGlance) -> None:
    image = fake.add(DATA)
    for _ in range(2):  # cold, and warm
        status, headers, body = await answer_of(edge, image.id, DEMO, Range="bytes=1000-1999")
        assert (status, body) == (206, DATA[1000:2000])
        assert headers["Content-Range"] == f"bytes 1000-1999/{len(DATA)}"
        await edge.fetch(image.id, DEMO)
    status, headers, _ = await answer_of(edge, image.id, DEMO)
    assert (status, headers["Content-Length"]) == (200, str(len(DATA)))
    assert headers["Content-MD5"] == image.document["checksum"]
    status, headers, _ = await answer_of(edge, image.id, DEMO, Range=f"bytes={len(DATA)}-")
    assert (status, headers["Content-Range"]) == (416, f"bytes */{len(DATA)}")


@pytest.mark.parametrize(
    "fault",
    [Fault(cut_at=MIB), Fault(hang_at=MIB), Fault(cut_at=0)],
    ids=["cut", "hung", "cut at once"],
)
async def test_data_that_break_off_are_read_on_where_they_broke(serve: Serve, fake: FakeGlance, fault: Fault) -> None:
    image, fake.faults = fake.add(DATA), [fault]
    async with serve(idle_s=30 if fault.hang_at is None else 1.5) as edge:
        assert await edge.fetch(image.id, DEMO) == DATA
        assert await edge.fetch(image.id, DEMO) == DATA
    assert len(fake.reads) == 2
    assert fake.reads[1][0] > 0 or fault.cut_at == 0
    assert fake.sent_bytes <= len(DATA) + MIB


@pytest.mark.parametrize(
    "after", [Fault(ignores_range=True), Fault(status=400)], ids=["ranges are ignored", "ranges are refused"]
)
async def test_a_glance_without_ranges_is_read_from_the_front(edge: Edge, fake: FakeGlance, after: Fault) -> None:
    image, fake.faults = fake.add(DATA), [Fault(cut_at=MIB), after]
    assert await edge.fetch(image.id, DEMO) == DATA
    assert fake.reads[-1][0] == 0


async def test_a_part_of_an_idle_image_is_had_by_a_fill_where_glance_gives_no_parts(
    serve: Serve, fake: FakeGlance
) -> None:
    image, fake.faults = fake.add(DATA), [Fault(status=400)]
    async with serve(skip_max=0) as edge:
        status, _, body = await answer_of(edge, image.id, DEMO, Range="bytes=3000000-3000999")
        assert (status, body) == (206, DATA[3000000:3001000])


async def test_a_token_that_expires_in_the_middle_is_followed_by_that_of_another_who_waits(
    serve: Serve, fake: FakeGlance
) -> None:
    image, fake.faults = fake.add(DATA), [Fault(hang_at=2 * MIB)]
    async with serve(idle_s=2) as edge, asyncio.TaskGroup() as group:
        first = group.create_task(edge.fetch(image.id, DEMO))
        await until(lambda: fake.sent_bytes >= 2 * MIB)
        second = group.create_task(edge.fetch(image.id, ALT))
        await until(lambda: len(edge.services.bearers.of(image.id)) == 2)
        image.allowed = {ALT}
    assert first.result() == second.result() == DATA
    assert fake.reads[-1][1] == ALT


@pytest.mark.long
async def test_a_token_that_expires_alone_cuts_the_download_and_the_next_one_goes_on(
    serve: Serve, fake: FakeGlance
) -> None:
    image, fake.faults = fake.add(DATA), [Fault(hang_at=2 * MIB)]
    async with serve(idle_s=2) as edge:
        async with edge.session.get(edge.file_url(image.id), headers={"X-Auth-Token": DEMO}) as answer:
            image.allowed = {ALT}
            with pytest.raises(aiohttp.ClientError):
                await answer.read()
        assert await edge.fetch(image.id, ALT) == DATA


@pytest.mark.parametrize("data", [DATA[:-1], DATA + b"x", b"y" + DATA[1:]], ids=["short", "long", "altered"])
async def test_bytes_that_are_not_the_images_reach_nobody_whole(serve: Serve, fake: FakeGlance, data: bytes) -> None:
    image = fake.add(DATA)
    fake.faults = [Fault(data=data)] * 20
    async with serve() as edge:
        try:
            async with edge.session.get(edge.file_url(image.id), headers={"X-Auth-Token": DEMO}) as answer:
                if answer.status == 200:
                    with pytest.raises(aiohttp.ClientError):
                        await answer.read()
                else:
                    assert answer.status == 503
        except aiohttp.ClientError:
            pass
        assert await edge.services.cache.entries() == []


async def test_what_has_no_lasting_bytes_is_answered_by_glance(edge: Edge, fake: FakeGlance) -> None:
    image = fake.add(b"abc")
    image.fields = {"status": "queued", "size": None}
    status, _, body = await answer_of(edge, image.id, DEMO)
    assert (status, body) == (200, b"abc")
    assert await edge.services.cache.entries() == []
    image.fields = {"id": "another"}
    assert (await answer_of(edge, image.id, DEMO))[2] == b"abc"


async def test_a_request_with_a_body_is_glances_to_refuse(edge: Edge, fake: FakeGlance) -> None:
    image = fake.add(DATA)
    async with edge.session.get(edge.file_url(image.id), headers={"X-Auth-Token": DEMO}, data=b"x") as answer:
        assert await answer.read() == DATA
    assert fake.asked["authorize"] == 0
    assert await edge.services.cache.entries() == []


async def test_a_deleted_image_leaves_the_cache(edge: Edge, fake: FakeGlance) -> None:
    image = fake.add(DATA)
    await edge.fetch(image.id, DEMO)
    await edge.until_cached(image.id)
    async with edge.session.delete(f"{edge.url}/v2/images/{image.id}", headers={"X-Auth-Token": DEMO}) as answer:
        assert answer.status == 204
    assert await edge.services.cache.entries() == []
    assert (await answer_of(edge, image.id, DEMO))[0] == 404


async def test_other_bytes_under_an_old_id_take_the_place_of_the_entry(edge: Edge, fake: FakeGlance) -> None:
    image = fake.add(DATA)
    await edge.fetch(image.id, DEMO)
    await edge.until_cached(image.id)
    image.data = DATA[::-1]
    assert await edge.fetch(image.id, DEMO) == DATA[::-1]
    await edge.until_cached(image.id, fills=2)
    image.fields = {"status": "queued"}
    async with edge.session.patch(f"{edge.url}/v2/images/{image.id}", headers={"X-Auth-Token": DEMO}) as answer:
        assert answer.status == 200
    assert await edge.services.cache.entries() == []


async def test_an_image_that_shows_its_location_is_read_straight_from_the_store(serve: Serve, fake: FakeGlance) -> None:
    image = fake.add(DATA)
    with Origin() as origin:
        origin.add("disk", DISK)
        image.fields = {"direct_url": origin.url("disk")}
        stores = {"default": None, "backends": {"web": {"kind": "http"}}}
        async with serve(read_stores=True, stores=stores) as edge:
            assert await edge.fetch(image.id, DEMO) == DATA
            assert origin.counts("disk").gets == 1
            assert fake.reads == []
            await edge.until_cached(image.id)
            await edge.services.cache.evict(image.id)
            image.fields = {"direct_url": origin.refused_url}
            assert await edge.fetch(image.id, DEMO) == DATA  # Glance itself is asked when the store does not help
            assert len(fake.reads) == 1


async def test_no_store_is_obeyed_for_those_who_may_manage_the_cache(edge: Edge, fake: FakeGlance) -> None:
    image = fake.add(DATA)
    assert (await answer_of(edge, image.id, ADMIN, **{"Cache-Control": "no-store"}))[2] == DATA
    assert await edge.services.cache.entries() == []
    assert (await answer_of(edge, image.id, DEMO, **{"Cache-Control": "no-store"}))[2] == DATA
    await edge.until_cached(image.id)


async def test_without_glance_new_downloads_get_503_and_those_under_way_go_on(serve: Serve, fake: FakeGlance) -> None:
    image = fake.add(DATA)
    async with serve(answer_s=0.3) as edge:
        await edge.fetch(image.id, DEMO)
        await edge.until_cached(image.id)
        async with edge.session.get(edge.file_url(image.id), headers={"X-Auth-Token": DEMO}) as running:
            begun = await running.content.readexactly(1000)
            fake.is_silent = True
            status, _, body = await answer_of(edge, image.id, DEMO)
            assert (status, b"Glance is unavailable" in body) == (503, True)
            assert begun + await running.read() == DATA
        assert edge.counted("glint_glance_errors_total", operation="authorize", error="Unavailable") == 1
