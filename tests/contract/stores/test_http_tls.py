"""Whose certificates the http store believes: the same straight and through a proxy, which sees nothing of it."""

import asyncio
import datetime as dt
from collections.abc import Callable, Iterator
from ssl import SSLContext

import pytest

from tests.contract.stores.peers import read_whole
from tests.contract.stores.web import web
from tests.origin import MIB, Noise, Origin
from tests.peers.tinyproxy import Tinyproxy
from tests.tls import Authority
from upstream.errors import Unavailable
from upstream.types import Location

DISK = Noise(MIB, seed=9)
_REFUSED = "its TLS certificate or handshake was refused"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority of the same name that nobody has heard of."""
    return Authority(tmp_path_factory.mktemp("stranger"))


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tinyproxy]:
    with Tinyproxy(tmp_path_factory.mktemp("proxy")) as server:
        yield server


@pytest.fixture(params=["straight", "through a proxy"])
def way(request: pytest.FixtureRequest, proxy: Tinyproxy) -> dict[str, str]:
    return {} if request.param == "straight" else {"https_proxy": proxy.url}


def serving(context: SSLContext) -> Origin:
    origin = Origin(tls=context)
    origin.add("disk", DISK)
    return origin


async def test_an_own_authority_is_believed_by_ca_file(authority: Authority, way: dict[str, str]) -> None:
    with serving(authority.server()) as origin:
        async with web(ca_file=authority.ca_file, **way) as store:
            location = Location(url=origin.url("disk"))
            assert await store.size(location) == DISK.size_bytes
            assert await read_whole(store, location, 7) == DISK.read(7)


@pytest.mark.parametrize(
    "server",
    [
        pytest.param(lambda _, stranger: stranger.server(), id="of another authority"),
        pytest.param(lambda own, _: own.server(valid_for=dt.timedelta(hours=-1)), id="expired"),
        pytest.param(lambda own, _: own.server("origin.example.org"), id="for another host"),
        pytest.param(lambda own, _: own.server("127.0.0.2"), id="for another address"),
    ],
)
async def test_a_certificate_that_proves_nothing_is_refused_unless_nobody_asks(
    authority: Authority,
    stranger: Authority,
    way: dict[str, str],
    server: Callable[[Authority, Authority], SSLContext],
) -> None:
    with serving(server(authority, stranger)) as origin:
        location = Location(url=origin.url("disk"))
        async with web(ca_file=authority.ca_file, **way) as store:
            with pytest.raises(Unavailable, match=_REFUSED):
                await read_whole(store, location)
            with pytest.raises(Unavailable, match=_REFUSED):
                await store.size(location)
        assert origin.counts("disk").gets == 0

        async with web(verify_tls=False, **way) as store:
            assert await read_whole(store, location, MIB - 5) == DISK.read(MIB - 5)


async def test_the_systems_authorities_do_not_know_ours(authority: Authority, way: dict[str, str]) -> None:
    with serving(authority.server()) as origin:
        async with web(**way) as store:
            with pytest.raises(Unavailable, match=_REFUSED):
                await read_whole(store, Location(url=origin.url("disk")))


async def test_a_server_that_speaks_no_tls_is_refused(way: dict[str, str]) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)  # what comes before it has asked may be lost with a proxy's connection
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    async with server, web(**way) as store:
        with pytest.raises(Unavailable, match=_REFUSED):
            await read_whole(store, Location(url=f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/disk"))
