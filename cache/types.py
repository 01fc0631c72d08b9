"""The nouns of the cache: what is wanted, where its bytes come from, what became of the request."""

import re
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal, Protocol, Self

from pydantic import BaseModel, ByteSize, Field, model_validator

MIB = 1024 * 1024
_SAFE_KEY = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{1,127}")


class CacheConfig(BaseModel, frozen=True, extra="forbid"):
    """The `cache:` section of config.yaml."""

    dir: Path = Path("var/cache")
    size_max: ByteSize = Field(default=ByteSize(20 * 1024 * MIB), gt=0)
    fills_max: int = Field(default=64, ge=1)
    fill_idle_s: float = Field(default=30.0, gt=0)
    stall_s: float = Field(default=10.0, ge=2)
    on_last_client_gone: Literal["finish", "cancel"] = "finish"
    cancel_below_percent: int = Field(default=95, ge=1, le=100)
    cancel_rest_min: ByteSize = Field(default=ByteSize(0), ge=0)
    cancel_keep_s: float = Field(default=0.0, ge=0)
    verify_digest: bool = True
    free_min: ByteSize = Field(default=ByteSize(1024 * MIB), ge=0)
    evict_from_percent: int = Field(default=90, ge=1, le=100)
    evict_to_percent: int = Field(default=85, ge=0, le=100)
    min_age_s: float = Field(default=600.0, ge=0)
    policy: Literal["slru", "lru"] = "slru"
    range_wait_s: float = Field(default=1.0, ge=0)
    range_reads_max: int = Field(default=16, ge=0)
    range_fill_percent: int = Field(default=25, ge=0, le=100)
    prewarms_max: int = Field(default=2, ge=1)
    background_rate_beside_demand: ByteSize = Field(default=ByteSize(8 * MIB), gt=0)
    scrub_rate_max: ByteSize = Field(default=ByteSize(16 * MIB), ge=0)
    scrub_interval_s: float = Field(default=86400.0, gt=0)
    drop_behind_min: ByteSize = Field(default=ByteSize(4096 * MIB), ge=0)

    @model_validator(mode="after")
    def _stops_below_its_start(self) -> Self:
        if self.evict_to_percent > self.evict_from_percent:
            raise ValueError("expected evict_to_percent to be at most evict_from_percent")
        return self


class Outcome(StrEnum):
    """What became of one download. `LOCAL` is data that lies in a local file store and is served in place."""

    HIT = "hit"
    JOIN = "join"
    MISS = "miss"
    BYPASS = "bypass"
    LOCAL = "local"


@dataclass(frozen=True, slots=True)
class Digest:
    """A digest as the registry has it: `algorithm` is a name of hashlib, `value` is lower-case hex."""

    algorithm: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """What is wanted: the key names the bytes for ever, so size and digest never change under one key.

    The key becomes a file name, so it is checked here, once. `size_bytes` None: unknown, never cached.
    """

    key: str
    size_bytes: int | None
    digest: Digest | None = None

    def __post_init__(self) -> None:
        if not _SAFE_KEY.fullmatch(self.key):
            raise ValueError(f"not a cache key: {self.key!r}")


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a blob: `start` is its first byte, `stop` the one after its last."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        return self.stop - self.start


Purpose = Literal["demand", "prewarm", "refetch"]
"""Why a blob is read: a client waits for it, somebody will ask for it, or what was found damaged comes back."""


class Source(Protocol):
    """Where the bytes of one blob are had. Handed over by whoever knows the stores.

    Made for one fill or one reader: it remembers which place disappointed, and asks another first the next time.
    """

    def __call__(self, offset: int, stop: int | None = None) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Open the bytes from `offset` up to `stop`, or to the end. Entering means that a store has agreed."""

    def wanted_for(self, purpose: Purpose) -> None:
        """What this source reads is for that from now on, also what runs or waits for its turn. At first: demand."""

    def distrust(self) -> bool:
        """The bytes that came last were not the blob's. Whether there is another place, to be asked the next time."""
