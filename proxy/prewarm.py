"""Images brought into the cache before anyone asks: asked for here, filled in the background, looked at by id."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Self, TypeVar

import structlog

from cache import Blob, ImageCache, Source

log = structlog.get_logger(__name__)

T = TypeVar("T")

_FAILURES_KEPT = 1000
_VERIFIED_KEPT = 100_000


class CacheState(StrEnum):
    """Where an image's bytes are. `LOCAL` needs no entry: it lies in a local file store, or is empty."""

    ABSENT = "absent"
    QUEUED = "queued"
    FILLING = "filling"
    VERIFYING = "verifying"
    CACHED = "cached"
    FAILED = "failed"
    LOCAL = "local"


class Proof(StrEnum):
    """What is known of a digest. `UNVERIFIED`: the bytes were not compared since this process began.

    `NONE`: nothing is registered that they could be compared with.
    """

    VERIFIED = "verified"
    UNVERIFIED = "unverified"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStatus:
    """One image's state. `present_bytes` of `size_bytes` are on disk; `error` says why the last try failed."""

    state: CacheState
    present_bytes: int
    size_bytes: int | None
    digest: Proof = Proof.UNVERIFIED
    error: str | None = None


class Prewarmer:
    """Owns one task per image that was asked for. Asking again while one runs changes nothing."""

    def __init__(self, cache: ImageCache) -> None:
        self._cache = cache
        self._running: dict[str, asyncio.Task[None]] = {}
        self._failures: OrderedDict[str, str] = OrderedDict()
        self._verified: OrderedDict[str, Proof] = OrderedDict()
        self._tasks = asyncio.TaskGroup()

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._running.values():
            task.cancel()
        await self._tasks.__aexit__(kind, error, trace)

    @property
    def asked(self) -> list[str]:
        """The keys that are worked on, in the order in which they were asked for."""
        return list(self._running)

    def ask(self, blob: Blob, source: Source) -> None:
        """Have `blob` on disk with its digest proved; returns at once, `status` tells how it goes."""
        if blob.key not in self._running:
            self._failures.pop(blob.key, None)
            self._verified.pop(blob.key, None)
            self._running[blob.key] = self._tasks.create_task(self._store(blob, source))

    def drop(self, key: str) -> bool:
        """Forget that `key` was asked for, and say whether it was. A fill that runs goes on, as without a client."""
        self._verified.pop(key, None)
        task = self._running.pop(key, None)
        if task is None:
            return False
        task.cancel()
        return True

    async def status(self, key: str, size_bytes: int | None) -> CacheStatus:
        """What is known of an image that needs an entry."""
        if (filling := self._cache.filling(key)) is not None:
            return CacheStatus(
                state=CacheState.FILLING, present_bytes=filling.written_bytes, size_bytes=filling.size_bytes
            )
        is_running, error = key in self._running, self._failures.get(key)
        if await self._cache.has(key):
            state = CacheState.VERIFYING if is_running else CacheState.CACHED
            proof = self._verified.get(key, Proof.UNVERIFIED)
            return CacheStatus(state=state, present_bytes=size_bytes or 0, size_bytes=size_bytes, digest=proof)
        if is_running:
            return CacheStatus(state=CacheState.QUEUED, present_bytes=0, size_bytes=size_bytes)
        state = CacheState.FAILED if error else CacheState.ABSENT
        return CacheStatus(state=state, present_bytes=0, size_bytes=size_bytes, error=error)

    async def _store(self, blob: Blob, source: Source) -> None:
        try:
            await self._cache.store(blob, source)
        except Exception as error:  # noqa: BLE001 - told to whoever asks for the status
            log.warning("prewarm.failed", key=blob.key, error=type(error).__name__)
            _keep(self._failures, blob.key, str(error) or type(error).__name__, _FAILURES_KEPT)
        else:
            _keep(self._verified, blob.key, Proof.VERIFIED if blob.digest else Proof.NONE, _VERIFIED_KEPT)
        finally:
            if self._running.get(blob.key) is asyncio.current_task():
                del self._running[blob.key]


def _keep(known: OrderedDict[str, T], key: str, value: T, kept_max: int) -> None:
    known[key] = value
    while len(known) > kept_max:
        known.popitem(last=False)
