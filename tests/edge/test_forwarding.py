"""Metadata calls and uploads go through as they came, and back as Glance answered."""

import asyncio
import contextlib
import http.client
import json
import re
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from multidict import CIMultiDict
from yarl import URL

from tests.content import MIB
from tests.edge.conftest import Serve
from tests.edge.fake_glance import DEMO, FakeGlance, Fault, fake_glance
from tests.edge.serving import Edge, config_for, serving
from tests.edge.test_downloads import until
from tests.tls import self_signed


async def echoed(edge: Edge, method: str, target: str, headers: Any = None, data: Any = None) -> tuple[Any, Any]:
    """What Glance saw, and the headers that came back."""
    url = URL(edge.url + target, encoded=True)
    async with edge.session.request(method, url, headers=headers, data=data, allow_redirects=False) as answer:
        assert answer.status == 201, await answer.text()
        return await answer.json(), answer.headers


async def test_a_request_goes_on_as_it_came(edge: Edge) -> None:
    target = "/v2/tasks?name=a%2Fb&x=&x=%C3%A9&sort=name:asc"
    sent = CIMultiDict({"X-Auth-Token": DEMO, "Accept": "text/x", "User-Agent": "me", "X-Openstack-Request-Id": "mine"})
    sent.add("X-Twice", "1")
    sent.add("X-Twice", "2")
    seen, back = await echoed(edge, "POST", target, sent, b'{"a": 1}')
    headers = CIMultiDict([(name, value) for name, value in seen["headers"]])
    assert (seen["method"], seen["target"], seen["body"]) == ("POST", target, '{"a": 1}')
    assert headers.getall("X-Twice") == ["1", "2"]
    assert [headers[name] for name in ("X-Auth-Token", "Accept", "User-Agent")] == [DEMO, "text/x", "me"]
    assert headers["Host"] == edge.url.removeprefix("http://")
    assert headers["Via"] == "1.1 glint"
    assert (headers["X-Forwarded-For"], headers["X-Forwarded-Proto"]) == ("127.0.0.1", "http")
    assert back["x-openstack-request-id"] == "mine"
    assert back["Location"] == f"{edge.url}/v2/images/new"
    assert "X-Private" not in back


@pytest.mark.parametrize("sent", ["\xe9", "a\tb", "x" * 100], ids=["no UTF-8", "a tab", "too long"])
async def test_a_request_whose_name_is_none_goes_on_under_one_of_ours(edge: Edge, sent: str) -> None:
    def ask() -> Any:
        connection = http.client.HTTPConnection(str(URL(edge.url).host), URL(edge.url).port, timeout=30)
        with contextlib.closing(connection):
            connection.request("POST", "/v2/tasks", b"{}", {"X-Auth-Token": DEMO, "X-Openstack-Request-Id": sent})
            return json.load(connection.getresponse())

    seen = await asyncio.to_thread(ask)
    (named,) = [value for name, value in seen["headers"] if name.lower() == "x-openstack-request-id"]
    assert re.fullmatch("req-[0-9a-f-]{36}", named)


async def test_what_only_others_may_say_is_dropped(edge: Edge) -> None:
    spoofed = {
        "X-Identity-Status": "Confirmed",
        "X-Roles": "admin",
        "X-User-Id": "root",
        "X-Project-Domain-Name": "Default",
        "X-Service-Roles": "service",
        "OpenStack-System-Scope": "all",
        "X_Roles": "admin",
        "X-Forwarded-For": "192.0.2.1",
        "X-Forwarded-Prefix": "/evil",
        "Forwarded": "for=192.0.2.1",
        "Keep-Alive": "timeout=5",
        "TE": "trailers",
        "Proxy-Authorization": "Basic abc",
        "Connection": "X-Hop, keep-alive",
        "X-Hop": "1",
        "X-Kept": "1",
    }
    seen, _ = await echoed(edge, "GET", "/v2/schemas/image", spoofed)
    names = {name.lower() for name, _ in seen["headers"]}
    assert "x-kept" in names
    assert names.isdisjoint({name.lower() for name in spoofed} - {"x-kept", "x-forwarded-for", "connection"})
    assert ["X-Forwarded-For", "127.0.0.1"] in seen["headers"]


async def test_what_a_proxy_before_us_says_is_passed_on_if_it_is_believed(serve: Serve) -> None:
    async with serve(server={"enable_proxy_headers_parsing": True}) as edge:
        said = {"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "cloud"}
        seen, back = await echoed(edge, "GET", "/v2/schemas/image", said)
        headers = dict(seen["headers"])
        assert headers["X-Forwarded-For"] == "192.0.2.1, 127.0.0.1"
        assert (headers["X-Forwarded-Proto"], headers["X-Forwarded-Host"]) == ("https", "cloud")
        assert back["Location"] == "https://cloud/v2/images/new"


async def test_a_request_that_comes_round_again_is_refused(edge: Edge) -> None:
    headers = {"Via": ", ".join(["1.1 glint"] * 5)}
    async with edge.session.get(f"{edge.url}/v2/tasks", headers=headers) as answer:
        assert answer.status == 400
        assert "registry.glance.url leads back" in await answer.text()


async def test_a_glance_that_is_not_there_is_told_as_503(serve: Serve, fake: FakeGlance) -> None:
    async with serve(url="http://127.0.0.1:9") as edge, edge.session.get(f"{edge.url}/v2/images") as answer:
        assert answer.status == 503
        assert "Glance is unavailable: it cannot be connected to" in await answer.text()
        assert answer.headers["x-openstack-request-id"].startswith("req-")


async def test_a_silent_glance_is_told_as_503_in_time(serve: Serve, fake: FakeGlance) -> None:
    fake.is_silent = True
    quick = {"registry": {"connect_s": 2}, "answer_s": 0.2}  # the answer's time begins with the connection's
    async with serve(**quick) as edge, edge.session.get(f"{edge.url}/v2/images") as answer:
        assert answer.status == 503
        assert "Glance is unavailable: no answer in time" in await answer.text()


async def test_connections_that_glance_closed_are_noticed_by_nobody(edge: Edge, fake: FakeGlance) -> None:
    fake.closes_kept = True
    for _ in range(5):
        await echoed(edge, "GET", "/v2/schemas/image")
        await asyncio.sleep(0.08)
    for _ in range(5):
        await echoed(edge, "POST", "/v2/tasks", data=b"{}")
    assert fake.asked["echo"] == 10  # a change is never sent twice


async def test_an_upload_streams_through_as_fast_as_glance_takes_it(edge: Edge, fake: FakeGlance) -> None:
    fake.may_read.clear()
    given = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal given
        for _ in range(64):
            given += MIB
            yield bytes(MIB)

    async def upload() -> int:
        async with edge.session.put(edge.file_url("new"), data=body()) as answer:
            return answer.status

    async with asyncio.TaskGroup() as group:
        running = group.create_task(upload())
        await until(lambda: bool(fake.uploads))
        before = -1
        while before != given:  # until nothing moves any more
            before = given
            await asyncio.sleep(0.3)
        assert given < 40 * MIB
        fake.may_read.set()
    assert running.result() == 204
    assert (fake.uploads[0].received_bytes, fake.uploads[0].is_whole) == (64 * MIB, True)


@pytest.mark.parametrize("length", [None, 100 * MIB], ids=["in chunks", "with a length"])
async def test_a_client_that_breaks_off_breaks_off_the_upload_at_glance(
    edge: Edge, fake: FakeGlance, length: int | None
) -> None:
    host, port = edge.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    writer.write(f"PUT /v2/images/new/file HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n".encode())
    writer.write(b"5\r\nabcde\r\n" if length is None else b"abcde")
    await until(lambda: bool(fake.uploads) and fake.uploads[0].received_bytes == 5)
    assert fake.uploads[0].is_whole is None
    writer.transport.abort()
    await until(lambda: fake.uploads[0].is_whole is not None)
    assert fake.uploads[0].is_whole is False


async def test_a_refusal_comes_before_a_body_that_waits_to_be_wanted(edge: Edge, fake: FakeGlance) -> None:
    fake.early_answer = (409, "not now")
    async with edge.session.put(edge.file_url("new"), data=bytes(MIB), expect100=True) as answer:
        assert (answer.status, await answer.text()) == (409, "not now")
    assert fake.uploads[0].received_bytes == 0


async def test_a_body_that_waits_to_be_wanted_is_told_when_it_is(edge: Edge, fake: FakeGlance) -> None:
    async with edge.session.put(edge.file_url("new"), data=bytes(MIB), expect100=True) as answer:
        assert answer.status == 204
    assert fake.uploads[0].received_bytes == MIB


async def test_what_glance_says_in_the_middle_of_an_upload_is_told(edge: Edge, fake: FakeGlance) -> None:
    fake.early_answer = (413, "too much of it")

    async def body() -> AsyncIterator[bytes]:
        for _ in range(8):
            yield bytes(MIB)
            await asyncio.sleep(0.02)

    async with edge.session.put(edge.file_url("new"), data=body()) as answer:
        assert (answer.status, await answer.text()) == (413, "too much of it")


async def test_an_answer_that_breaks_off_is_cut_for_the_client_too(edge: Edge, fake: FakeGlance) -> None:
    image = fake.add(bytes(4 * MIB))
    image.fields = {"status": "queued"}
    fake.faults = [Fault(cut_at=MIB)]
    with pytest.raises(aiohttp.ClientError):
        async with edge.session.get(edge.file_url(image.id), headers={"X-Auth-Token": DEMO}) as answer:
            await answer.read()
    with contextlib.suppress(aiohttp.ClientError):
        await echoed(edge, "GET", "/v2/schemas/image")


async def test_a_glance_that_takes_no_more_of_an_upload_is_told_as_503(serve: Serve, fake: FakeGlance) -> None:
    fake.may_read.clear()

    async def body() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield bytes(MIB)

    async with serve(answer_s=0.3) as edge, edge.session.put(edge.file_url("new"), data=body()) as answer:
        assert answer.status == 503
        assert "Glance is unavailable: no answer in time" in await answer.text()


async def test_a_glance_that_has_all_of_an_upload_may_take_longer_to_answer(serve: Serve, fake: FakeGlance) -> None:
    fake.pause_s = 1.3
    async with serve(answer_s=1) as edge, edge.session.put(edge.file_url("new"), data=bytes(MIB)) as answer:
        assert answer.status == 204


async def test_the_health_check_is_ours_and_needs_no_glance(edge: Edge, fake: FakeGlance) -> None:
    fake.is_silent = True
    async with edge.session.get(f"{edge.url}/healthcheck") as answer:
        assert (answer.status, await answer.text()) == (200, "OK")


async def test_a_glance_behind_tls_is_believed_by_its_authority(tmp_path: Path) -> None:
    certificate, key = await asyncio.to_thread(self_signed, tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    async with fake_glance(tls) as fake:
        async with serving(config_for(tmp_path, fake.url, {"ca_file": certificate})) as edge:
            await echoed(edge, "GET", "/v2/schemas/image")
        async with (
            serving(config_for(tmp_path, fake.url)) as edge,
            edge.session.get(f"{edge.url}/v2/schemas/image") as answer,
        ):
            assert answer.status == 503
            assert "its TLS certificate or handshake was refused" in await answer.text()
