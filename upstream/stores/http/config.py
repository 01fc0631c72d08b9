"""A store of kind http in `stores.backends`."""

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Literal

from pydantic import ByteSize, Field

from upstream.http import METADATA_NETWORKS
from upstream.stores.backend import BackendConfig
from upstream.types import Location


class HttpStoreConfig(BackendConfig, frozen=True, extra="forbid"):
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
