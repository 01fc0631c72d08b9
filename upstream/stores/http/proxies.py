"""Which proxy a request goes through, if any. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from types import MappingProxyType

from upstream.errors import Invalid
from upstream.http import names_of
from upstream.stores.locations import HttpTarget, parse_http


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """`url` holds no credentials."""

    url: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)


def parse_proxy(text: str) -> Proxy:
    """Raises ValueError, which does not repeat what it read: that may be a password."""
    expected = "expected the URL of an HTTP proxy, such as http://USER:PASSWORD@10.0.0.1:3128"
    try:
        target = parse_http(text)
    except Invalid:
        raise ValueError(expected) from None
    if target.scheme != "http" or not target.url.endswith("/") or target.url.count("/") != 3:
        raise ValueError(expected)
    return Proxy(url=target.url, user=target.user, password=target.password)


def check_exempt(entry: str) -> str:
    """An entry of no_proxy. Raises ValueError."""
    if "/" in entry:
        ip_network(entry)
    elif not entry or entry.strip() != entry or "," in entry:
        raise ValueError('expected host names, "*.example.org", addresses or networks such as 10.0.0.0/8')
    return entry


class Proxies:
    """The proxy of each scheme, and the hosts that are gone to straight: by name, or as literal address."""

    def __init__(self, by_scheme: Mapping[str, Proxy], exempt: Collection[str] = ()) -> None:
        self._by_scheme = MappingProxyType(dict(by_scheme))
        self._names = frozenset(entry.lower() for entry in exempt if "/" not in entry)
        self._networks = tuple(ip_network(entry) for entry in exempt if "/" in entry)

    def __bool__(self) -> bool:
        return bool(self._by_scheme)

    def on_the_way_to(self, target: HttpTarget) -> Proxy | None:
        """None: straight. Names are not resolved for it: behind a proxy they often mean something only there."""
        return None if self._is_exempt(target.host) else self._by_scheme.get(target.scheme)

    def _is_exempt(self, host: str) -> bool:
        if self._names & names_of(host):
            return True
        try:
            address = ip_address(host.partition("%")[0])
        except ValueError:
            return False
        return any(address in network for network in self._networks)
