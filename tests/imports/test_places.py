"""Where web-download may go, and where not, however the place is written."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from tests.content import Noise
from tests.imports.importing import FAILED, LOOPBACK, begin, importing_glint, settled
from tests.origin import Fault, Origin
from tests.peers.tinyproxy import Tinyproxy
from upstream.errors import Denied, Invalid, Unavailable, UpstreamError
from upstream.stores import ImportFilterConfig, open_web
from upstream.stores.web import UrlGuard, Web

CLOSED = ImportFilterConfig()
OPEN = ImportFilterConfig(**LOOPBACK)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/x",
        "http://127.8.9.1/x",
        "http://[::1]/x",
        "http://[::ffff:127.0.0.1]/x",
        "http://[64:ff9b::7f00:1]/x",
        "http://[2002:7f00:1::]/x",
        "http://0.0.0.0/x",
        "http://[::]/x",
        "http://169.254.169.254/latest/meta-data",
        "http://[fd00:ec2::254]/x",
        "http://[fe80::1]/x",
        "http://2130706433/x",
        "http://0x7f000001/x",
        "http://0x7f.0.0.1/x",
        "http://127.1/x",
        "http://0177.0.0.1/x",
        "http://example.org:22/x",
        "http://example.org:0/x",
        "ftp://example.org/x",
        "file:///etc/passwd",
    ],
)
def test_by_default_a_place_is_refused(url: str) -> None:
    with pytest.raises(Denied):
        UrlGuard(CLOSED).check_url(URL(url, encoded=True))


@pytest.mark.parametrize(
    "url", ["http://example.org/x", "https://example.org/x", "https://example.org:443/x", "http://10.0.0.1/x"]
)
def test_by_default_a_place_is_allowed(url: str) -> None:
    UrlGuard(CLOSED).check_url(URL(url))


@pytest.mark.parametrize(
    ("lists", "url", "is_allowed"),
    [
        ({"allowed_schemes": ["https"]}, "http://example.org/", False),
        ({"allowed_schemes": [], "disallowed_schemes": ["http"]}, "http://example.org/", False),
        ({"allowed_schemes": [], "disallowed_schemes": ["http"]}, "https://example.org/", True),
        ({"allowed_schemes": ["http"], "disallowed_schemes": ["http"]}, "http://example.org/", True),
        ({"allowed_hosts": ["a.org", "*.b.org"]}, "http://a.org/", True),
        ({"allowed_hosts": ["a.org", "*.b.org"]}, "http://A.ORG./", True),
        ({"allowed_hosts": ["a.org", "*.b.org"]}, "http://x.b.org/", True),
        ({"allowed_hosts": ["a.org", "*.b.org"]}, "http://b.org/", False),
        ({"allowed_hosts": ["a.org"]}, "http://a.org.evil.org/", False),
        ({"allowed_hosts": ["a.org"]}, "http://a.org@evil.org/", False),
        ({"disallowed_hosts": ["a.org"]}, "http://a.org/", False),
        ({"disallowed_hosts": ["a.org"]}, "http://A.org./", False),
        ({"allowed_hosts": ["a.org"], "disallowed_hosts": ["a.org"]}, "http://a.org/", True),
        ({"allowed_ports": [8080]}, "http://a.org:8080/", True),
        ({"allowed_ports": [8080]}, "http://a.org/", False),
        ({"allowed_ports": [], "disallowed_ports": [22]}, "http://a.org:22/", False),
        ({"allowed_ports": [], "disallowed_ports": [22]}, "http://a.org:23/", True),
        ({"denied_networks": ["10.0.0.0/8"]}, "http://10.1.2.3/", False),
    ],
)
def test_the_lists_decide(lists: dict[str, Any], url: str, *, is_allowed: bool) -> None:
    guard = UrlGuard(ImportFilterConfig(**lists))
    if is_allowed:
        guard.check_url(URL(url))
    else:
        with pytest.raises(Denied):
            guard.check_url(URL(url))


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    async with open_web(OPEN) as opened:
        yield opened


async def _read(web: Web, url: str) -> bytes:
    async with web.read(url) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def test_a_name_that_resolves_elsewhere_the_second_time_is_not_connected_to(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: the check beforehand sees a good address, the connection would go to a denied one."""
    answers = ["127.0.0.1", "127.0.0.2"]

    async def resolve(*_: object, **__: object) -> list[dict[str, object]]:
        return [_resolved(answers.pop(0), 80)]

    monkeypatch.setattr(aiohttp.ThreadedResolver, "resolve", resolve)
    await web.check("http://rebinding.example.org/x")
    with pytest.raises(Denied):
        await _read(web, "http://rebinding.example.org/x")
    assert answers == []


async def test_the_connection_goes_to_the_address_that_was_checked(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several addresses the denied ones are left out, and nobody asks the resolver again."""
    asked: list[str] = []
    with Origin() as origin:
        origin.add("disk", Noise(100))

        async def resolve(_: object, host: str, *__: object, **___: object) -> list[dict[str, object]]:
            asked.append(host)
            return [_resolved("127.0.0.2", origin.port), _resolved("127.0.0.1", origin.port)]

        monkeypatch.setattr(aiohttp.ThreadedResolver, "resolve", resolve)
        assert await _read(web, f"http://name.example.org:{origin.port}/disk") == Noise(100).read()
    assert asked == ["name.example.org"]


def _resolved(host: str, port: int) -> dict[str, object]:
    return {
        "hostname": host,
        "host": host,
        "port": port,
        "family": socket.AF_INET,
        "proto": 0,
        "flags": socket.AI_NUMERICHOST,
    }


@pytest.mark.parametrize(
    "where", ["http://127.0.0.2:{port}/disk", "http://169.254.169.254/x", "http://2130706434:{port}/"]
)
async def test_a_redirect_to_a_denied_place_is_not_followed(web: Web, where: str) -> None:
    with Origin() as origin:
        origin.add("disk", Noise(100))
        origin.always("disk", Fault(redirect=where.format(port=origin.port)))
        with pytest.raises(Denied):
            await _read(web, origin.url("disk"))
        assert origin.connections == 1


@pytest.mark.parametrize("where", ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1/"])
async def test_a_redirect_to_another_scheme_is_not_followed(web: Web, where: str) -> None:
    with Origin() as origin:
        origin.add("disk", Noise(100))
        origin.always("disk", Fault(redirect=where))
        with pytest.raises((Denied, Invalid)):
            await _read(web, origin.url("disk"))


@pytest.mark.parametrize(("redirects", "is_read"), [(5, True), (6, False)])
async def test_redirects_are_counted(web: Web, redirects: int, *, is_read: bool) -> None:
    with Origin() as origin:
        origin.add("disk", Noise(100))
        origin.script("disk", *(Fault(redirect=origin.url("disk")) for _ in range(redirects)))
        if is_read:
            assert await _read(web, origin.url("disk")) == Noise(100).read()
        else:
            with pytest.raises(Invalid):
                await _read(web, origin.url("disk"))


async def test_a_password_stays_with_its_origin(web: Web) -> None:
    with Origin() as origin, Origin() as other:
        origin.add("disk", Noise(100))
        other.add("disk", Noise(100))
        origin.script("disk", Fault(redirect=other.url("disk")))
        await _read(web, origin.url("disk", user_info="anna:secret"))
        assert "authorization" in origin.counts("disk").requests[0].headers
        assert "authorization" not in other.counts("disk").requests[0].headers


async def test_a_download_that_takes_too_long_ends() -> None:
    with Origin() as origin:
        origin.add("disk", Noise(1_000_000))
        origin.always("disk", Fault(rate_bytes_s=100_000))
        async with open_web(OPEN.model_copy(update={"total_s": 0.5})) as web:
            with pytest.raises(Unavailable, match=r"within 0\.5 s"):
                await _read(web, origin.url("disk"))


async def test_a_name_that_cannot_be_found_is_refused_beforehand(web: Web) -> None:
    with pytest.raises(Denied):
        await asyncio.wait_for(web.check("http://nobody.invalid/x"), 10)


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tinyproxy]:
    with Tinyproxy(tmp_path_factory.mktemp("proxy")) as server:
        yield server


async def test_what_has_a_proxy_goes_through_it_with_its_password(proxy: Tinyproxy) -> None:
    with Origin() as origin:
        origin.add("disk", Noise(100))
        async with open_web(_behind(proxy)) as web:
            await web.check(origin.url("disk"))
            assert await _read(web, origin.url("disk")) == Noise(100).read()
        async with open_web(_behind(proxy, no_proxy=["127.0.0.0/8"])) as web:
            assert await _read(web, origin.url("disk")) == Noise(100).read()
        assert [line for line in proxy.asked() if origin.url("disk") in line] == [f"GET {origin.url('disk')} HTTP/1.1"]
        assert not any("proxy-authorization" in request.headers for request in origin.counts("disk").requests)


async def test_a_name_that_only_a_proxy_may_know_is_asked_of_it(proxy: Tinyproxy) -> None:
    async with open_web(_behind(proxy)) as web:
        await asyncio.wait_for(web.check("http://nobody.invalid/x"), 10)
        with pytest.raises(UpstreamError) as told:
            await _read(web, "http://nobody.invalid/x")
    assert not isinstance(told.value, Denied)
    assert proxy.asked()[-1] == "GET http://nobody.invalid/x HTTP/1.1"


@pytest.mark.parametrize(
    "url", ["http://name.example.org/x", "http://127.0.0.2/x", "http://2130706434/x", "http://a.org:22/"]
)
async def test_before_a_proxy_a_denied_place_is_refused_too(
    proxy: Tinyproxy, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    """Beforehand, when it is read, and where a redirect leads there."""

    async def resolve(*_: object, **__: object) -> list[dict[str, object]]:
        return [_resolved("127.0.0.2", 80)]

    config = _behind(proxy, allowed_ports=[], disallowed_ports=[22], no_proxy=["127.0.0.1"])
    with Origin() as origin:
        origin.add("disk", Noise(100))
        origin.always("disk", Fault(redirect=url))
        asked = proxy.asked()
        async with open_web(config) as web:
            monkeypatch.setattr(aiohttp.ThreadedResolver, "resolve", resolve)
            for judged in (web.check(url), _read(web, url), _read(web, origin.url("disk"))):
                with pytest.raises(Denied):
                    await judged
        assert proxy.asked() == asked


def _behind(proxy: Tinyproxy, **keys: Any) -> ImportFilterConfig:
    return ImportFilterConfig.model_validate({**LOOPBACK, "http_proxy": proxy.url, **keys})


def test_a_redirect_into_the_cloud_ends_the_import(tmp_path: Path) -> None:
    with Origin() as origin, importing_glint(tmp_path) as glint:
        origin.add("disk", Noise(100))
        origin.always("disk", Fault(redirect="http://169.254.169.254/latest/meta-data"))
        image_id = glint.create()
        assert begin(glint, image_id, uri=origin.url("disk")).status == 202
        image = settled(glint, image_id)
        assert (image["status"], image[FAILED]) == ("queued", "local")
        (task,) = glint.get(f"/v2/images/{image_id}/tasks").json["tasks"]
        assert "denied_networks" in task["message"]


def test_out_of_the_box_no_loopback_address_is_asked(tmp_path: Path) -> None:
    with (
        Origin() as origin,
        importing_glint(tmp_path, {"api.import_filter": {"denied_networks": ["127.0.0.0/8"]}}) as glint,
    ):
        origin.add("disk", Noise(100))
        assert begin(glint, glint.create(), uri=origin.url("disk")).status == 400
        assert origin.connections == 0
