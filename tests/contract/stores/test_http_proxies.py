"""The http store behind a real proxy, and behind ones that fail."""

import socket
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.contract.stores.peers import read_whole
from tests.contract.stores.web import web
from tests.origin import KIB, MIB, Fault, Noise, Origin
from tests.peers.tinyproxy import Tinyproxy
from tests.tls import Authority
from upstream.errors import DataNotFound, Denied, Unavailable, UpstreamError
from upstream.http import proxy_refusal
from upstream.stores import Witness
from upstream.types import Location

DISK = Noise(MIB + 3, seed=11)


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tinyproxy]:
    with Tinyproxy(tmp_path_factory.mktemp("proxy"), connect_ports=[1]) as server:
        yield server


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as opened:
        opened.add("disk", DISK)
        yield opened


async def test_http_goes_through_the_proxy_in_parts_too(proxy: Tinyproxy, origin: Origin) -> None:
    location, witness = Location(url=origin.url("disk", user_info="us:er")), Witness()

    async with web(http_proxy=proxy.url) as store:
        assert await store.size(location) == DISK.size_bytes
        assert await read_whole(store, location, 0, 64 * KIB, witness) == DISK.read(0, 64 * KIB)
        assert await read_whole(store, location, 64 * KIB, None, witness) == DISK.read(64 * KIB)

    assert [line for line in proxy.asked() if origin.url("disk") in line] == [
        f"{method} {origin.url('disk')} HTTP/1.1" for method in ("HEAD", "GET", "GET")
    ]
    asked = origin.counts("disk").requests
    assert all("authorization" in request.headers for request in asked)
    assert not any("proxy-authorization" in request.headers for request in asked)


async def test_what_has_no_proxy_goes_straight(proxy: Tinyproxy, origin: Origin) -> None:
    before = proxy.asked()
    location = Location(url=origin.url("disk"))

    for options in ({"https_proxy": proxy.url}, {"http_proxy": proxy.url, "no_proxy": ["127.0.0.0/8"]}):
        async with web(**options) as store:
            assert await read_whole(store, location, DISK.size_bytes - 1) == DISK.read(DISK.size_bytes - 1)

    assert proxy.asked() == before


async def test_a_redirect_is_judged_anew_and_may_leave_the_proxy(proxy: Tinyproxy, origin: Origin) -> None:
    there = origin.url("disk").replace("127.0.0.1", "localhost")
    origin.script("disk", Fault(redirect=there))
    before = len(proxy.asked())

    async with web(http_proxy=proxy.url, no_proxy=["localhost"]) as store:
        assert await read_whole(store, Location(url=origin.url("disk"))) == DISK.read()

    assert len(proxy.asked()) == before + 1
    assert origin.counts("disk").gets == 2


async def test_what_the_origin_refuses_is_the_origins_refusal(proxy: Tinyproxy, origin: Origin) -> None:
    async with web(http_proxy=proxy.url) as store:
        with pytest.raises(DataNotFound):
            await read_whole(store, Location(url=origin.url("nothing-here")))


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_wants_other_credentials_is_named(proxy: Tinyproxy, origin: Origin, scheme: str) -> None:
    url = origin.url("disk").replace("http:", f"{scheme}:")

    async with web(**{f"{scheme}_proxy": f"http://127.0.0.1:{proxy.port}"}) as store:
        with pytest.raises(Denied, match="the proxy of web wants other credentials"):
            await read_whole(store, Location(url=url))
    async with web(**{f"{scheme}_proxy": f"http://glint:hunter2@127.0.0.1:{proxy.port}"}) as store:
        with pytest.raises(Denied) as caught:  # 401, which for http could be the origin's
            await read_whole(store, Location(url=url))
    assert "hunter2" not in _all_said(caught.value)
    assert "Basic" not in _all_said(caught.value)
    assert origin.counts("disk").gets == 0


def _all_said(error: BaseException | None) -> str:
    """What could get into a log of it."""
    said = ""
    while error is not None:
        said += f"{error!r} {error}"
        error = error.__cause__
    return said


async def test_a_proxy_that_does_not_connect_there_is_a_refusal(proxy: Tinyproxy, origin: Origin) -> None:
    async with web(https_proxy=proxy.url) as store:
        with pytest.raises(Denied, match="refuses to connect to that host"):
            await read_whole(store, Location(url=origin.url("disk").replace("http:", "https:")))


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_an_origin_that_the_proxy_does_not_reach_is_unavailable(
    tmp_path_factory: pytest.TempPathFactory, origin: Origin, scheme: str
) -> None:
    with Tinyproxy(tmp_path_factory.mktemp("proxy")) as open_to_all:
        async with web(**{f"{scheme}_proxy": open_to_all.url}) as store:
            with pytest.raises(Unavailable, match="answered 5"):
                await read_whole(store, Location(url=origin.refused_url.replace("http:", f"{scheme}:")))


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_is_not_there_is_named(origin: Origin, scheme: str) -> None:
    url = origin.url("disk").replace("http:", f"{scheme}:")
    down = origin.refused_url.rpartition("/")[0]

    async with web(**{f"{scheme}_proxy": down}) as store:
        with pytest.raises(Unavailable, match="its proxy cannot be connected to"):
            await read_whole(store, Location(url=url))
        with pytest.raises(Unavailable, match="its proxy cannot be connected to"):
            await store.size(Location(url=url))


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_is_silent_is_not_waited_for(origin: Origin, scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        proxied = {f"{scheme}_proxy": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        async with web(connect_s=0.3, first_byte_s=0.3, **proxied) as store:
            with pytest.raises(Unavailable, match="in time"):
                await read_whole(store, Location(url=origin.url("disk").replace("http:", f"{scheme}:")))


async def _drain(chunks: AsyncIterator[bytes], into: bytearray) -> None:
    async for chunk in chunks:
        into += chunk


async def test_a_proxy_that_dies_in_mid_body_ends_nothing_cleanly(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    disk = Noise(64 * MIB, seed=12)
    folder = tmp_path_factory.mktemp("authority")
    authority = Authority(folder)
    with Origin(tls=authority.server()) as behind, Tinyproxy(tmp_path_factory.mktemp("proxy")) as dying:
        behind.add("large", disk)
        async with (
            web(ca_file=authority.ca_file, https_proxy=dying.url) as store,
            store.read(Location(url=behind.url("large"))) as chunks,
        ):
            first = await anext(chunks)
            dying.kill()
            got = bytearray(first)
            with pytest.raises(UpstreamError):
                await _drain(chunks, got)
        assert len(first) <= len(got) < disk.size_bytes
        assert got == disk.read(0, len(got))


@pytest.mark.parametrize(
    "host",
    ["169.254.169.254", "[::ffff:169.254.169.254]", "0xa9fea9fe", "2852039166", "169.16689662", "0xa9.254.43518"],
)
async def test_a_literal_address_is_judged_before_a_proxy_is_asked(proxy: Tinyproxy, host: str) -> None:
    before = proxy.asked()

    async with web(http_proxy=proxy.url) as store:
        with pytest.raises(Denied, match=r"denied_networks|no name and no address"):
            await read_whole(store, Location(url=f"http://{host}/latest/meta-data"))

    assert proxy.asked() == before


async def test_lists_of_hosts_hold_before_a_proxy_and_its_own_address_does_not_count(
    proxy: Tinyproxy, origin: Origin
) -> None:
    """The proxy may lie in a network that users may not name."""
    named = f"http://glint:pass.word@localhost:{proxy.port}"
    options = {"http_proxy": named, "allowed_hosts": ["*.example.org"], "denied_networks": ["127.0.0.0/8", "::1"]}
    before = len(proxy.asked())

    async with web(**options) as store:
        for url in (origin.url("disk"), "http://example.org/disk"):
            with pytest.raises(Denied, match="allowed_hosts"):
                await read_whole(store, Location(url=url))
        assert len(proxy.asked()) == before
        with pytest.raises(UpstreamError):  # the proxy finds no such host
            await read_whole(store, Location(url="http://disk.invalid.example.org/disk"))

    assert len(proxy.asked()) == before + 1


@pytest.mark.parametrize(
    ("status", "error"), [(407, Denied), (403, Denied), (405, Denied), (408, Unavailable), (502, Unavailable)]
)
def test_each_refusal_of_a_proxy_has_its_name(status: int, error: type[UpstreamError]) -> None:
    assert isinstance(proxy_refusal("web", status), error)
