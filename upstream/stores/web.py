"""Image data from wherever a user says: only from where the operator allows it, however the place is written.

Source of the rules: glance/common/utils.py, get_validated_address, which knows allowed and denied lists alike.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import TypeVar

from pydantic import Field
from yarl import URL

from upstream.errors import Denied, Invalid, Unavailable
from upstream.http import METADATA_NETWORKS, AddressGuard, GuardedResolver, is_disguised
from upstream.stores import http
from upstream.stores.http import HttpStoreConfig, ProxyConfig
from upstream.stores.locations import parse_http
from upstream.types import Location

SERVICE = "web-download"
_LOOPBACK_NETWORKS = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
_DEFAULT_PORTS = {"http": 80, "https": 443}
_T = TypeVar("_T")


class ImportFilterConfig(ProxyConfig, frozen=True, extra="forbid", hide_input_in_errors=True):
    """`api.import_filter`: of a pair of lists the allowed one counts if it is not empty, as in Glance."""

    allowed_schemes: tuple[str, ...] = ("http", "https")
    disallowed_schemes: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    disallowed_hosts: tuple[str, ...] = ()
    allowed_ports: tuple[int, ...] = (80, 443)
    disallowed_ports: tuple[int, ...] = ()
    denied_networks: tuple[IPv4Network | IPv6Network, ...] = (*_LOOPBACK_NETWORKS, *METADATA_NETWORKS)
    redirects_max: int = Field(default=5, ge=0)
    connect_s: float = Field(default=5.0, gt=0)
    first_byte_s: float = Field(default=30.0, gt=0)
    idle_s: float = Field(default=30.0, gt=0)
    total_s: float = Field(default=86400.0, gt=0)
    ca_file: Path | None = None


class UrlGuard(AddressGuard):
    """Schemes, hosts and ports by the lists, addresses by the denied networks; every redirect is a URL anew."""

    def __init__(self, config: ImportFilterConfig) -> None:
        super().__init__(SERVICE, allowed_hosts=config.allowed_hosts, denied=config.denied_networks)
        self._config = config

    def check_url(self, url: URL) -> None:
        """Raises Denied."""
        config, host = self._config, (url.raw_host or "").rstrip(".").lower()
        if not host or is_disguised(host):
            raise Denied(f"{SERVICE} may not connect to that host: it is written as no name and no address")
        if not _passes(url.scheme, config.allowed_schemes, config.disallowed_schemes):
            raise Denied(f"{SERVICE} may not use the scheme {url.scheme}")
        port = _DEFAULT_PORTS.get(url.scheme, 0) if url.explicit_port is None else url.explicit_port
        if not _passes(port, config.allowed_ports, config.disallowed_ports):
            raise Denied(f"{SERVICE} may not connect to port {port}")
        if not config.allowed_hosts and host in config.disallowed_hosts:
            raise Denied(f"{SERVICE} may not connect to that host: it is in disallowed_hosts")
        self.check_host(host)

    async def check_unresolved(self, url: URL) -> None:
        """A name that leads to a denied address here is refused. One that only the proxy knows is for it to judge."""
        await super().check_unresolved(url)
        with suppress(OSError, UnicodeError):
            await self.resolve(url)

    async def resolve(self, url: URL) -> None:
        """Raises Denied, and OSError or UnicodeError if there is no such name, or no answer in time."""
        async with asyncio.timeout(self._config.connect_s):
            await GuardedResolver(self).resolve(url.raw_host or "", url.port or 0, socket.AF_UNSPEC)


def _passes(value: _T, allowed: Collection[_T], disallowed: Collection[_T]) -> bool:
    return value in allowed if allowed else value not in disallowed


class Web:
    """Where users' URLs are read. Safe to use from many tasks at once."""

    def __init__(self, store: http.HttpStore, guard: UrlGuard, config: ImportFilterConfig) -> None:
        self._store, self._guard, self._config = store, guard, config
        self._proxies = config.proxies()

    async def check(self, url: str) -> None:
        """Whether the URL may be asked, as far as it can be told beforehand. Raises Denied, Invalid.

        A name is resolved here only to tell the user in time: whoever connects resolves it again, and checks that.
        """
        target = parse_http(url)
        try:
            asked = URL(target.url, encoded=target.url.isascii())
        except ValueError:
            raise Invalid("the URL cannot be read") from None
        self._guard.check_url(asked)
        if self._proxies.on_the_way_to(target) is not None:
            await self._guard.check_unresolved(asked)
            return
        try:
            await self._guard.resolve(asked)
        except (OSError, UnicodeError) as error:
            raise Denied(f"{SERVICE} cannot find that host") from error

    @asynccontextmanager
    async def read(self, url: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """The data behind the URL. Raises as `Store.read`, and Unavailable when `total_s` are over."""
        try:
            async with asyncio.timeout(self._config.total_s), self._store.read(Location(url=url)) as chunks:
                yield chunks
        except TimeoutError as error:
            raise Unavailable(SERVICE, f"the data did not come within {self._config.total_s:g} s") from error


@asynccontextmanager
async def open_web(config: ImportFilterConfig) -> AsyncIterator[Web]:
    guard = UrlGuard(config)
    reading = HttpStoreConfig(
        kind="http",
        connect_s=config.connect_s,
        first_byte_s=config.first_byte_s,
        idle_s=config.idle_s,
        redirects_max=config.redirects_max,
        ca_file=config.ca_file,
        http_proxy=config.http_proxy,
        https_proxy=config.https_proxy,
        no_proxy=config.no_proxy,
    )
    store = await http.open_store(SERVICE, reading, guard)
    try:
        yield Web(store, guard, config)
    finally:
        await store.close()
