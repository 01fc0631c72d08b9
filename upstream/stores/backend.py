"""What the configuration of every kind of store has, and what each kind says of itself."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ByteSize, Field, model_validator

from upstream.stores.guard.config import GuardConfig
from upstream.types import Location


class BackendConfig(BaseModel, frozen=True, extra="forbid"):
    """One of `stores.backends`. Each kind adds its `kind` and its keys, in its own package."""

    refuses_while_used: ClassVar[bool] = False
    """Whether this kind keeps data that something else uses, and says so when they are to be deleted."""

    read_only: bool = False  # no uploads, no deletions
    weight: int = 0  # locations are tried from the heaviest store down
    description: str = ""
    requests_max: int = Field(default=256, ge=1)  # further requests wait ...
    wait_s: float = Field(default=30.0, gt=0)  # ... so long, then the store counts as unavailable
    guard: GuardConfig = GuardConfig()

    @model_validator(mode="after")
    def _background_is_a_part(self) -> Self:
        background = self.guard.background_requests_max
        if background is not None and background > self.requests_max:
            raise ValueError(f"guard.background_requests_max: expected at most requests_max, {self.requests_max}")
        return self

    def own_prefixes(self) -> tuple[str, ...]:
        """Beginnings of URLs that are this store's: where a row names no store, it is the one with the longest."""
        return ()

    def further_prefixes(self) -> tuple[str, ...]:
        """Beginnings of URLs that this store can read too, though nobody would say that they are its own."""
        return ()

    def peer_of(self, location: Location) -> str:
        """Who answers for this location, if not one for the whole store: one that fails is no fault of the others."""
        return ""

    def properties(self) -> Mapping[str, Any]:
        """What `GET /v2/info/stores/detail` tells of it, by Glance's names."""
        return {}


PARALLEL_READS_MAX = 16
"""Of kinds of which it is known that they serve it well."""


class ParallelConfig(BackendConfig, frozen=True, extra="forbid"):
    """Keys of kinds whose stores hand out several parts of one object at once."""

    parallel_reads_max: int = Field(default=1, ge=1)  # ranged reads at once, shared among the fills of a worker
    read_ahead_max: ByteSize = Field(default=ByteSize(64 * 1024 * 1024), ge=0)  # what arrives before its turn
