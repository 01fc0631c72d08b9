"""The `stores:` section of config.yaml."""

from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network
from itertools import combinations
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ByteSize, Field, StringConstraints, field_validator, model_validator

from upstream.http import METADATA_NETWORKS

_RESERVED_PREFIX = "os_glance_"
StoreId = Annotated[str, StringConstraints(pattern=r"^[^\s,/]{1,255}$")]


class _BackendConfig(BaseModel, frozen=True, extra="forbid"):
    """Keys that every kind of store has."""

    read_only: ClassVar[bool] = False

    weight: int = 0  # locations are tried from the heaviest store down
    description: str = ""
    requests_max: int = Field(default=256, ge=1)  # further requests wait ...
    wait_s: float = Field(default=30.0, gt=0)  # ... so long, then the store counts as unavailable


class FileStoreConfig(_BackendConfig, frozen=True, extra="forbid"):
    """Images as files of one folder, named by image id."""

    kind: Literal["file"]
    dir: Path = Path("var/images")
    file_mode: int | None = Field(default=None, ge=0, le=0o777)  # None: by the process's umask
    threads_max: int = Field(default=16, ge=1)  # blocking reads and writes at once


class HttpStoreConfig(_BackendConfig, frozen=True, extra="forbid"):
    """Images behind any http or https URL; users may name the URLs, so say where this process may connect to."""

    read_only: ClassVar[bool] = True

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


BackendConfig = Annotated[FileStoreConfig | HttpStoreConfig, Field(discriminator="kind")]


def _default_backends() -> Mapping[str, FileStoreConfig | HttpStoreConfig]:
    return {"local": FileStoreConfig(kind="file")}


class StoresConfig(BaseModel, frozen=True, extra="forbid"):
    """Which stores there are. `default` takes uploads that name no store; null where nobody uploads."""

    default: str | None = "local"
    backends: Mapping[StoreId, BackendConfig] = Field(default_factory=_default_backends)

    @field_validator("backends", mode="after")
    @classmethod
    def _named_freely(cls, backends: Mapping[str, BackendConfig]) -> Mapping[str, BackendConfig]:
        reserved = [store for store in backends if store.startswith(_RESERVED_PREFIX)]
        if reserved:
            raise ValueError(f"store ids must not start with {_RESERVED_PREFIX}: {', '.join(reserved)}")
        dirs = [(store, one.dir.absolute()) for store, one in backends.items() if isinstance(one, FileStoreConfig)]
        for (first, one), (second, other) in combinations(dirs, 2):
            if one.is_relative_to(other) or other.is_relative_to(one):
                raise ValueError(f"the folders of {first} and {second} lie in one another: {one}, {other}")
        return backends

    @model_validator(mode="after")
    def _default_takes_uploads(self) -> "StoresConfig":
        if self.default is None:
            return self
        if self.default not in self.backends:
            known = ", ".join(self.backends) or "none"
            raise ValueError(f"default: expected one of the backends ({known}), got {self.default!r}")
        if self.backends[self.default].read_only:
            kind = self.backends[self.default].kind
            raise ValueError(f"default: expected a store that takes uploads, got {self.default!r} of kind {kind}")
        return self
