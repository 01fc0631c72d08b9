"""A store of kind http in `stores.backends`, and the proxies of whatever reads URLs."""

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ByteSize, Field, SecretStr, field_validator

from upstream.http import METADATA_NETWORKS
from upstream.stores.backend import ParallelConfig
from upstream.stores.http.proxies import Proxies, check_exempt, parse_proxy
from upstream.types import Location


class ProxyConfig(BaseModel, frozen=True):
    """By which proxies URLs are read, if by any."""

    http_proxy: SecretStr | None = None  # for http URLs; may hold credentials
    https_proxy: SecretStr | None = None  # for https URLs, by CONNECT
    no_proxy: tuple[str, ...] = ()  # gone to straight: names, "*.example.org", literal addresses, networks

    @field_validator("http_proxy", "https_proxy")
    @classmethod
    def _is_proxy(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            parse_proxy(url.get_secret_value())
        return url

    @field_validator("no_proxy")
    @classmethod
    def _are_exempt(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(check_exempt(entry) for entry in entries)

    def proxies(self) -> Proxies:
        given = {"http": self.http_proxy, "https": self.https_proxy}
        return Proxies(
            {scheme: parse_proxy(url.get_secret_value()) for scheme, url in given.items() if url is not None},
            self.no_proxy,
        )


class HttpStoreConfig(ParallelConfig, ProxyConfig, frozen=True, extra="forbid"):
    """Images behind any http or https URL; users may name the URLs, so say where this process may connect to."""

    read_only: Literal[True] = True

    kind: Literal["http"]
    connect_s: float = Field(default=5.0, gt=0)
    first_byte_s: float = Field(default=30.0, gt=0)
    idle_s: float = Field(default=30.0, gt=0)
    redirects_max: int = Field(default=5, ge=0)
    skip_max: ByteSize = Field(default=ByteSize(64 * 1024 * 1024), ge=0)  # read and dropped where Range is ignored
    ca_file: Path | None = None  # None: the system's
    verify_tls: bool = True
    allowed_hosts: tuple[str, ...] = ()  # names or "*.example.org"; empty: all
    denied_networks: tuple[IPv4Network | IPv6Network, ...] = METADATA_NETWORKS  # compared with the resolved address

    def own_prefixes(self) -> tuple[str, ...]:
        return ("http://", "https://")

    def peer_of(self, location: Location) -> str:
        """The host and its port."""
        return location.url.partition("://")[2].partition("/")[0].rpartition("@")[2].lower()
