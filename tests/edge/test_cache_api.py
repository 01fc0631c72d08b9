"""Glint's cache before a Glance: who may look after it, and with whose token it fetches."""

import asyncio

import pytest

from tests.edge.conftest import Serve
from tests.edge.fake_glance import ADMIN, DEMO, FakeGlance
from tests.edge.serving import Edge
from tests.edge.test_downloads import DATA, until

ANYONE = "22222222-2222-4333-8444-555555555555"


async def call(edge: Edge, method: str, path: str, token: str) -> tuple[int, str]:
    async with edge.session.request(method, f"{edge.url}{path}", headers={"X-Auth-Token": token}) as answer:
        return answer.status, await answer.text()


async def test_whom_glance_would_show_its_cache_may_manage_ours(edge: Edge, fake: FakeGlance) -> None:
    image = fake.add(DATA)
    for method, path in (("GET", "/v2/cache"), ("DELETE", f"/v2/cache/{image.id}"), ("PUT", f"/v2/cache/{image.id}")):
        assert await call(edge, method, path, DEMO) == (403, "cache_list")
        assert (await call(edge, method, path, "nobody"))[0] == 401
    await edge.fetch(image.id, DEMO)
    await edge.until_cached(image.id)
    assert image.id in (await call(edge, "GET", "/v2/cache", ADMIN))[1]
    assert (await call(edge, "DELETE", f"/v2/cache/{image.id}", ADMIN))[0] == 204
    assert await edge.services.cache.entries() == []


async def test_where_glance_cannot_say_who_may_nobody_may(edge: Edge, fake: FakeGlance) -> None:
    fake.has_cache_api = False
    status, text = await call(edge, "GET", "/v2/cache", ADMIN)
    assert (status, "has no /v2/cache" in text) == (403, True)


async def test_a_body_where_none_is_expected_is_refused(edge: Edge) -> None:
    for method, path in (("GET", "/v2/cache"), ("POST", "/v2/cache/prune"), ("DELETE", "/v2/queued_images")):
        headers = {"X-Auth-Token": ADMIN}
        async with edge.session.request(method, f"{edge.url}{path}", headers=headers, data=b"{}") as answer:
            assert (answer.status, "A body is not expected" in await answer.text()) == (400, True)


async def test_a_site_may_leave_these_paths_to_glance(serve: Serve, fake: FakeGlance) -> None:
    async with serve(api={"cache_api": False}) as edge:
        assert await call(edge, "GET", "/v2/cache", ADMIN) == (404, "Caching via API is not supported at this site.")


async def test_an_image_that_is_asked_for_is_fetched_with_the_askers_token(edge: Edge, fake: FakeGlance) -> None:
    image = fake.add(DATA)
    assert (await call(edge, "PUT", f"/v2/cache/{image.id}", ADMIN))[0] == 202
    async with asyncio.timeout(30):
        while '"state":"cached"' not in (await call(edge, "GET", f"/v2/cache/{image.id}", ADMIN))[1]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert fake.reads == [(0, ADMIN)]


async def test_who_downloads_what_is_cached_holds_prewarms_back(
    serve: Serve, fake: FakeGlance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cache.traffic.QUIET_S", 3600)
    async with serve(cache={"background_rate_beside_demand": 1}) as edge:
        cached, wanted = fake.add(DATA), fake.add(DATA, ANYONE)
        await call(edge, "PUT", f"/v2/cache/{cached.id}", ADMIN)
        await edge.until_cached(cached.id)
        await edge.fetch(cached.id, DEMO)

        await call(edge, "PUT", f"/v2/cache/{wanted.id}", ADMIN)
        async with asyncio.timeout(60):
            while (await edge.services.prewarmer.status(wanted.id, len(DATA))).present_bytes == 0:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        for _ in range(4):
            await edge.fetch(cached.id, DEMO)

        assert '"state":"filling"' in (await call(edge, "GET", f"/v2/cache/{wanted.id}", ADMIN))[1]


async def test_what_nobody_here_has_a_token_for_waits_for_one(edge: Edge, fake: FakeGlance) -> None:
    """Asked for through another worker, which ended; whoever asks how far it is brings a token."""
    image = fake.add(DATA)
    await edge.services.prewarmer.ask(ANYONE)
    await edge.services.prewarmer.ask(image.id)
    assert '"state":"queued"' in (await call(edge, "GET", f"/v2/cache/{image.id}", ADMIN))[1]
    await until(lambda: len(fake.reads) == 1)
    assert await edge.services.prewarmer.asked() in ([ANYONE], [ANYONE, image.id])
