"""The nouns of the cache: what is wanted, where its bytes come from, what became of the request."""

import re
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal, Protocol

from pydantic import BaseModel, ByteSize, Field

MIB = 1024 * 1024
_SAFE_KEY = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{1,127}")


class CacheConfig(BaseModel, frozen=True, extra="forbid"):
    """The `cache:` section of config.yaml."""

    dir: Path = Path("var/cache")
    size_max: ByteSize = Field(default=ByteSize(20 * 1024 * MIB), gt=0)
    fills_max: int = Field(default=64, ge=1)
    fill_idle_s: float = Field(default=30.0, gt=0)
    on_last_client_gone: Literal["finish", "cancel"] = "finish"
    verify_digest: bool = True
    range_wait_max: ByteSize = Field(default=ByteSize(64 * MIB), ge=0)


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


class Source(Protocol):
    """Opens the bytes of one blob from `offset` on. Handed over by whoever knows the stores."""

    def __call__(self, offset: int) -> AbstractAsyncContextManager[AsyncIterator[bytes]]: ...
