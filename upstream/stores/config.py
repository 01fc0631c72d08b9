"""The `stores:` section of config.yaml."""

from collections.abc import Mapping
from itertools import combinations
from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints, field_validator, model_validator

from upstream.stores.file.config import FileStoreConfig
from upstream.stores.http.config import HttpStoreConfig
from upstream.stores.rbd.config import RbdStoreConfig
from upstream.stores.s3.config import S3StoreConfig
from upstream.stores.swift.config import SwiftStoreConfig

_RESERVED_PREFIX = "os_glance_"
StoreId = Annotated[str, StringConstraints(pattern=r"^[^\s,/]{1,255}$")]


AnyBackendConfig = Annotated[
    FileStoreConfig | HttpStoreConfig | RbdStoreConfig | S3StoreConfig | SwiftStoreConfig, Field(discriminator="kind")
]


def _default_backends() -> Mapping[str, AnyBackendConfig]:
    return {"local": FileStoreConfig(kind="file")}


class StoresConfig(BaseModel, frozen=True, extra="forbid"):
    """Which stores there are. `default` takes uploads that name no store; null where nobody uploads."""

    default: str | None = "local"
    backends: Mapping[StoreId, AnyBackendConfig] = Field(default_factory=_default_backends)

    @field_validator("backends", mode="after")
    @classmethod
    def _named_freely(cls, backends: Mapping[str, AnyBackendConfig]) -> Mapping[str, AnyBackendConfig]:
        reserved = [store for store in backends if store.startswith(_RESERVED_PREFIX)]
        if reserved:
            raise ValueError(f"store ids must not start with {_RESERVED_PREFIX}: {', '.join(reserved)}")
        folders = [
            (store, folder.path.absolute())
            for store, one in backends.items()
            if isinstance(one, FileStoreConfig)
            for folder in one.folders
        ]
        for (first, one), (second, other) in combinations(folders, 2):
            if one.is_relative_to(other) or other.is_relative_to(one):
                of = first if first == second else f"{first} and {second}"
                raise ValueError(f"the folders of {of} lie in one another: {one}, {other}")
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
