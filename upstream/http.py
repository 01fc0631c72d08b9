"""What our HTTP clients share: which addresses they connect to, and what their failures mean."""

import re
import socket
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from upstream.errors import Denied, Invalid, Unavailable

# Link-local: where clouds serve instance metadata, with credentials, to whoever asks from the machine.
METADATA_NETWORKS = tuple(ip_network(text) for text in ("169.254.0.0/16", "fe80::/10", "fd00:ec2::254/128"))
_NAT64 = ip_network("64:ff9b::/96")
_NUMBERS = re.compile(r"[0-9.]+|0[xX][0-9a-fA-F]+")
_LOOPBACK = {4: ip_address("127.0.0.1"), 6: ip_address("::1")}


def is_loopback(host: str) -> bool:
    """Whether nobody else than this machine is there. A name other than localhost may mean anything."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def is_disguised(host: str) -> bool:
    """Whether it is a number that resolvers take for an address, such as 2130706433, 127.1 or 0x7f000001."""
    try:
        ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return any(_NUMBERS.fullmatch(label) for label in host.rstrip(".").split(".")[-1:])
    return False


def names_of(host: str) -> frozenset[str]:
    """By which entries of a list of hosts it is meant: `*.example.org` is whatever ends so."""
    name = host.lower().rstrip(".")
    return frozenset({name, *("*." + name.split(".", depth)[depth] for depth in range(1, name.count(".") + 1))})


class AddressGuard:
    """Which hosts and addresses may be connected to. Names are checked as written, addresses as resolved.

    A name that a proxy resolves is checked as written, and nothing more: which address it has there is for the proxy.
    """

    def __init__(
        self, service: str, *, allowed_hosts: Collection[str], denied: Collection[IPv4Network | IPv6Network]
    ) -> None:
        self._service = service
        self._allowed_hosts = frozenset(host.lower() for host in allowed_hosts)
        self._denied = tuple(denied)

    def check_host(self, host: str) -> None:
        """Raises Denied for a host that is not on the list, and for an address in a denied network."""
        if self._allowed_hosts and not self._allowed_hosts & names_of(host):
            raise Denied(f"{self._service} may not connect to that host: it is not in allowed_hosts")
        try:
            address = ip_address(host.rstrip(".").strip("[]").partition("%")[0])
        except ValueError:
            return
        if self.is_denied(address):
            raise self._denial()

    def check_url(self, url: URL) -> None:
        """Called for every request, also for one that follows a redirect. Raises Denied."""
        self.check_host(url.raw_host or "")  # as the connector will see it, not as the user wrote it

    async def check_unresolved(self, url: URL) -> None:
        """Called besides where a proxy resolves names: an address in another spelling is none. Raises Denied."""
        if is_disguised(url.raw_host or ""):
            raise Denied(f"{self._service} may not connect to that host: it is written as no name and no address")

    def is_denied(self, address: IPv4Address | IPv6Address) -> bool:
        return any(one in network for one in _meanings(address) for network in self._denied)

    def admitted(self, found: list[ResolveResult]) -> list[ResolveResult]:
        """Those resolved addresses that may be used. Raises Denied if none is left."""
        kept = [one for one in found if not self.is_denied(ip_address(one["host"].partition("%")[0]))]
        if found and not kept:
            raise self._denial()
        return kept

    def _denial(self) -> Denied:
        return Denied(f"{self._service} may not connect to that address: it is in denied_networks")


def _meanings(address: IPv4Address | IPv6Address) -> list[IPv4Address | IPv6Address]:
    """The address, and those of version 4 that it leads to: mapped, of 6to4, or behind a NAT64 (RFC 6052)."""
    found: list[IPv4Address | IPv6Address] = [address]
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        found += [inner] if inner is not None else []
    # Where the system connects to itself.
    return [_LOOPBACK[one.version] if one.is_unspecified else one for one in found]


class GuardedResolver(AbstractResolver):
    """Resolves names and leaves out what the guard denies: the connection goes to the very address that was checked.

    aiohttp does not ask a resolver about literal addresses; `AddressGuard.check_host` looks at those.
    """

    def __init__(self, guard: AddressGuard) -> None:
        self._guard, self._inner = guard, aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return self._guard.admitted(await self._inner.resolve(host, port, family))

    async def close(self) -> None:
        await self._inner.close()


@contextmanager
def translated(service: str, phase: str = "open") -> Iterator[None]:
    """Client errors become ours. Nothing of the URL gets into the messages, since it may hold credentials."""
    try:
        yield
    except aiohttp.InvalidURL as error:
        raise Invalid(f"{service} was given a URL that cannot be asked") from error
    except aiohttp.ConnectionTimeoutError as error:
        raise Unavailable(service, "it could not be connected to in time", phase="connect") from error
    except aiohttp.ClientHttpProxyError as error:
        raise proxy_refusal(service, error.status) from None  # it knows the head that was sent, with our password
    except aiohttp.ClientProxyConnectionError as error:
        raise Unavailable(service, "its proxy cannot be connected to", phase="connect") from error
    except TimeoutError as error:
        raise Unavailable(service, "no answer in time", phase=phase) from error
    except aiohttp.ClientSSLError as error:
        raise Unavailable(service, "its TLS certificate or handshake was refused") from error
    except aiohttp.ClientConnectorDNSError as error:
        raise Unavailable(service, "its host name cannot be resolved") from error
    except aiohttp.ClientConnectorError as error:
        raise Unavailable(service, "it cannot be connected to") from error
    except (aiohttp.ClientError, OSError) as error:
        raise Unavailable(service, f"the connection failed ({type(error).__name__})") from error


def proxy_refusal(service: str, status: int) -> Denied | Unavailable:
    """What it means that a proxy answers so in place of the host that was to be reached."""
    if status in {401, 407}:
        return Denied(f"the proxy of {service} wants other credentials than it was given ({status})")
    if 400 <= status < 500 and status not in {408, 429}:
        return Denied(f"the proxy of {service} refuses to connect to that host ({status})")
    return Unavailable(service, f"its proxy answered {status}")
