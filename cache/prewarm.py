"""Images brought into the cache before anyone asks: prewarmed, found damaged, or left half filled by a killed service.

All workers share one queue: each takes from it what it has hands for, and each gives the same answer about a key.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

import structlog

from cache.disk import Found
from cache.errors import DiskFailed
from cache.images import ImageCache
from cache.queue import Asked, Job, Proof, Queue
from cache.threads import nothing_else
from cache.types import Blob, Source

log = structlog.get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

Resolve = Callable[[str], Awaitable[tuple[Blob, Source] | None]]
"""What a key stands for now, and where its bytes are had. None: nothing that could be cached."""

_POLL_S = 1.0
_RENEW_S = 2.0  # a third of a lease: two may come late
_RESOLVE_RETRY_S = (0.5, 1.0, 2.0, 4.0, 8.0)


class CacheState(StrEnum):
    """Where an image's bytes are. `LOCAL` needs no entry: it lies in a local file store, or is empty."""

    ABSENT = "absent"
    QUEUED = "queued"
    FILLING = "filling"
    VERIFYING = "verifying"
    CACHED = "cached"
    FAILED = "failed"
    LOCAL = "local"


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStatus:
    """One image's state. `present_bytes` of `size_bytes` are on disk; `error` says why the last try failed."""

    state: CacheState
    present_bytes: int
    size_bytes: int | None
    digest: Proof = Proof.UNVERIFIED
    error: str | None = None
    pinned: bool = False


class Prewarmer:
    """One worker's hands at the queue that all workers share. All calls raise DiskFailed if the index refuses.

    At most `prewarms_max` images at once. Leaving puts back what is not done, for other workers or the next start.
    Make it before the cache is entered: what the cache finds lost when it starts is brought in as well.
    """

    def __init__(
        self,
        cache: ImageCache,
        queue: Queue,
        resolve: Resolve,
        *,
        prewarms_max: int = 2,
        resolvable: Callable[[], Collection[str]] | None = None,
    ) -> None:
        """`resolvable` names the keys that this worker can resolve now; without it, it can resolve all."""
        self._cache, self._queue, self._resolve, self._resolvable = cache, queue, resolve, resolvable
        self._prewarms_max = prewarms_max
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="cache-queue")
        self._disk = cache.threads(self._thread)
        self._running: dict[Job, asyncio.Task[None]] = {}
        self._renewed_s = 0.0
        self._woken = asyncio.Event()
        self._tasks = asyncio.TaskGroup()
        self._lost: list[str] = []
        self._stack = AsyncExitStack()
        cache.when_lost(self.refetch)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            stack.callback(self._thread.shutdown, wait=False)  # nothing runs in it any more
            stack.callback(self._queue.close)
            stack.push_async_callback(self._put_back)
            await stack.enter_async_context(self._tasks)
            stack.callback(lambda: self._stop(list(self._running)))
            stack.callback(self._tasks.create_task(self._serve()).cancel)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    async def ask(self, key: str) -> None:
        """Have it on disk with its digest proved; some worker begins soon, and `status` tells how it goes.

        Asking again while it waits or is worked on changes nothing. A key that comes to stand for nothing, because its
        image is gone, is forgotten.
        """
        await self._answer(self._queue.ask, [key])
        self._woken.set()

    def refetch(self, key: str) -> None:
        """The same for what was found damaged, or left half filled, by whoever cannot wait for the disk."""
        self._lost.append(key)
        self._woken.set()

    async def drop(self, key: str) -> bool:
        """Forget that `key` was asked for, and say whether it was. A fill that runs goes on, as without a client."""
        was_asked = await self._answer(self._queue.drop, key)
        self._stop([job for job in self._running if job.key == key])
        return was_asked

    async def clear(self) -> None:
        """Forget all that is asked for."""
        await self._answer(self._queue.clear)
        self._stop(list(self._running))

    async def asked(self) -> list[str]:
        """The keys that wait or are worked on, in the order in which they were asked for."""
        return await self._answer(self._queue.asked)

    async def status(self, key: str, size_bytes: int | None) -> CacheStatus:
        """What is known of an image that needs an entry: the same from every worker."""
        if (filling := await self._cache.filling(key, size_bytes)) is not None:
            return CacheStatus(
                state=CacheState.FILLING, present_bytes=filling.written_bytes, size_bytes=filling.size_bytes
            )
        # In this order: an entry that appears in between belongs to a request that has ended by then.
        asked = await self._answer(self._queue.get, key)
        found = await self._cache.found(key)
        entry = await self._cache.entry(key) if found else None
        return status_of(asked, found, size_bytes, pinned=entry is not None and entry.pinned)

    async def _serve(self) -> None:
        was_refused = False
        while True:
            self._woken.clear()
            try:
                await self._take_turn()
                was_refused = False
            except DiskFailed as error:
                if not was_refused:
                    log.warning("prewarm.refused", error=str(error))
                was_refused = True
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLL_S):
                    await self._woken.wait()

    async def _take_turn(self) -> None:
        """Ask for what was lost, keep what is ours, let go what is not any more, take what there are hands for."""
        if self._lost:
            lost = tuple(self._lost)
            await self._call(self._queue.ask, lost, is_refetch=True)
            del self._lost[: len(lost)]
        if self._running and time.monotonic() - self._renewed_s >= _RENEW_S:
            held = set(self._running)
            kept = await self._call(self._queue.renew, held)
            self._renewed_s = time.monotonic()
            self._stop(held - kept)  # dropped through another worker, or taken over while this one hung
        while len(self._running) < self._prewarms_max and (job := await self._take()) is not None:
            if job in self._running:
                continue  # its lease ran out while the disk was slow, and nobody else took it
            if not self._running:
                self._renewed_s = time.monotonic()
            self._running[job] = self._tasks.create_task(self._work(job))

    async def _take(self) -> Job | None:
        among = None if self._resolvable is None else frozenset(self._resolvable())
        if among is not None and not among:
            return None
        return await self._call(self._queue.take, among)

    async def _work(self, job: Job) -> None:
        try:
            await self._bring_in(job)
        except DiskFailed as error:
            log.warning("prewarm.refused", key=job.key, error=str(error))  # done again when the lease has run out
        finally:
            self._running.pop(job, None)
            self._woken.set()

    async def _bring_in(self, job: Job) -> None:
        """Everything that one row wants, and what became of it into the row."""
        try:
            found = await self._resolved(job.key)
            if found is None:
                log.info("prewarm.forgotten", key=job.key, reason="nothing that could be cached")
                return await self._call(self._queue.forget, job)
            blob, source = found
            await self._cache.store(blob, source, "refetch" if job.is_refetch else "prewarm")
        except Exception as error:  # noqa: BLE001 - told to whoever asks for the status
            log.warning("prewarm.failed", key=job.key, error=type(error).__name__)
            reason, found_at_s = str(error) or type(error).__name__, _written_at_s(await self._cache.found(job.key))
            return await self._call(self._queue.fail, job, reason, found_at_s)
        proof = Proof.VERIFIED if blob.digest else Proof.NONE
        found_at_s = _written_at_s(await self._cache.found(job.key))
        return await self._call(self._queue.finish, job, proof, found_at_s)

    async def _resolved(self, key: str) -> tuple[Blob, Source] | None:
        """The registry may be away for a moment, above all when everything starts at once."""
        for pause_s in _RESOLVE_RETRY_S:
            try:
                return await self._resolve(key)
            except Exception as error:  # noqa: BLE001 - whatever it is, the last try raises it
                log.info("prewarm.unresolved", key=key, error=type(error).__name__, retry_s=pause_s)
            await asyncio.sleep(pause_s)
        return await self._resolve(key)

    def _stop(self, jobs: Iterable[Job]) -> None:
        """Their rows say otherwise already, or will when all have ended."""
        for job in jobs:
            if (task := self._running.pop(job, None)) is not None:
                task.cancel()

    async def _put_back(self) -> None:
        with contextlib.suppress(DiskFailed):  # then they are free when the leases have run out
            await self._call(self._queue.release)

    async def _call(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        self._cache.check_open("use its queue")
        return await self._disk("use its queue", call, *args, **kwargs)

    async def _answer(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """For who waits for the answer only: see `DiskThreads.answer`."""
        self._cache.check_open("use its queue")
        return await self._disk.answer("use its queue", nothing_else, call, *args, **kwargs)


def status_of(asked: Asked | None, found: Found | None, size_bytes: int | None, *, pinned: bool) -> CacheStatus:
    """What the queue's row and the entry mean together, for an image that no worker is filling."""
    is_open = asked is not None and asked.stage.is_open
    is_told = asked is not None and asked.entry_at_s == _written_at_s(found)
    proof, error = (asked.proof, asked.error) if asked is not None and is_told else (Proof.UNVERIFIED, None)
    if found is not None:
        return CacheStatus(
            state=CacheState.VERIFYING if is_open else CacheState.CACHED,
            present_bytes=found.size_bytes,
            size_bytes=found.size_bytes,
            digest=proof,
            error=error,
            pinned=pinned,
        )
    state = CacheState.QUEUED if is_open else CacheState.FAILED if error else CacheState.ABSENT
    return CacheStatus(state=state, present_bytes=0, size_bytes=size_bytes, error=error)


def _written_at_s(found: Found | None) -> float | None:
    """What tells an entry from a later one of its key.

    Its file says so: the index learns of an entry after the folder does, from whichever process comes first.
    """
    return found.modified_s if found else None
