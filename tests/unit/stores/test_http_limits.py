"""Where the http store may go, and to whom it gives credentials."""

import base64
from collections.abc import Iterator

import pytest

from tests.contract.stores.peers import read_whole
from tests.contract.stores.web import web
from tests.origin import MIB, Fault, Noise, Origin
from upstream.errors import Denied, Invalid
from upstream.types import Location

DISK = Noise(MIB, seed=9)


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as opened:
        opened.add("disk", DISK)
        yield opened


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://169.254.169.254./latest/meta-data",
        "http://[::ffff:169.254.169.254]/latest",
        "http://[fe80::1%25lo]/latest",
        "http://[fd00:ec2::254]/latest",
        "http://0xa9fea9fe/latest",
        "http://\uff11\uff16\uff19.254.169.254/latest",
    ],
)
async def test_metadata_addresses_are_denied_however_they_are_written(url: str) -> None:
    async with web() as store:
        with pytest.raises(Denied, match="denied_networks"):
            await read_whole(store, Location(url=url))
        with pytest.raises(Denied, match="denied_networks"):
            await store.size(Location(url=url))


@pytest.mark.parametrize("host", ["2852039166", "169.16689662"])
async def test_an_address_in_an_old_spelling_is_not_asked(host: str) -> None:
    async with web() as store:
        with pytest.raises(Invalid):
            await read_whole(store, Location(url=f"http://{host}/latest"))


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "[::ffff:0.0.0.0]"])
async def test_the_address_that_means_this_machine_is_denied_with_its_loopback(host: str) -> None:
    async with web(denied_networks=["127.0.0.0/8", "::1"]) as store:
        with pytest.raises(Denied, match="denied_networks"):
            await read_whole(store, Location(url=f"http://{host}:9/"))


async def test_a_name_is_judged_by_the_address_it_resolves_to(origin: Origin) -> None:
    url = origin.url("disk").replace("127.0.0.1", "localhost")

    async with web(denied_networks=["127.0.0.0/8", "::1"]) as store:
        with pytest.raises(Denied, match="denied_networks"):
            await read_whole(store, Location(url=url))

    assert origin.counts("disk").gets == 0


async def test_a_redirect_to_a_denied_address_is_not_followed(origin: Origin) -> None:
    origin.always("disk", Fault(redirect="http://169.254.169.254/latest/meta-data"))

    async with web() as store:
        with pytest.raises(Denied, match="denied_networks"):
            await read_whole(store, Location(url=origin.url("disk")))


@pytest.mark.parametrize(
    ("host", "admitted"),
    [("127.0.0.1", True), ("localhost", False), ("LOCALHOST", False), ("example.org", False)],
)
async def test_only_allowed_hosts_are_asked(origin: Origin, host: str, admitted: bool) -> None:
    location = Location(url=origin.url("disk").replace("127.0.0.1", host))

    async with web(allowed_hosts=["127.0.0.1", "*.example.org"]) as store:
        if admitted:
            assert await read_whole(store, location) == DISK.read()
        else:
            with pytest.raises(Denied, match="allowed_hosts"):
                await read_whole(store, location)


async def test_a_redirect_to_a_host_that_is_not_allowed_is_not_followed(origin: Origin) -> None:
    origin.always("disk", Fault(redirect=origin.url("disk").replace("127.0.0.1", "localhost")))

    async with web(allowed_hosts=["127.0.0.1"]) as store:
        with pytest.raises(Denied, match="allowed_hosts"):
            await read_whole(store, Location(url=origin.url("disk")))

    assert origin.counts("disk").gets == 1


async def test_credentials_go_to_their_origin_and_to_no_other(origin: Origin) -> None:
    with Origin() as other:
        other.add("disk", DISK)
        origin.script("disk", Fault(redirect="/disk"), Fault(redirect=other.url("disk")))

        async with web() as store:
            await read_whole(store, Location(url=origin.url("disk", user_info="us%40er:p%40ss")))

        first, second = origin.counts("disk").requests
        (third,) = other.counts("disk").requests
    expected = "Basic " + base64.b64encode(b"us@er:p@ss").decode()
    assert first.headers["authorization"] == second.headers["authorization"] == expected
    assert "authorization" not in third.headers
    assert "@" not in first.target + first.headers["host"]


async def test_the_query_and_its_escapes_arrive_as_they_were_written(origin: Origin) -> None:
    async with web() as store:
        await read_whole(store, Location(url=origin.url("disk", query="sig=a%2Fb+c%3D&x=%7e")))

    assert origin.counts("disk").requests[0].target == "/disk?sig=a%2Fb+c%3D&x=%7e"


async def test_an_unencoded_object_is_asked_for(origin: Origin) -> None:
    async with web() as store:
        await read_whole(store, Location(url=origin.url("disk")))

    assert origin.counts("disk").requests[0].headers["accept-encoding"] == "identity"
