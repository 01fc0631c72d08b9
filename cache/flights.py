"""The blobs that this worker has open, one flight each, and their lives from the first look to the last reader."""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from cache.claims import Claim, Role
from cache.demand import Demand
from cache.disk import Folder
from cache.errors import (
    Abandoned,
    CacheError,
    CacheFull,
    CacheUnusable,
    DigestMismatch,
    DiskFailed,
    FillFailed,
    GoneRound,
    NotWorthAFill,
)
from cache.files import Mark, look, set_mark_at, stop_filling
from cache.fill import Fill, FillTools
from cache.flight import Flight, Part
from cache.follow import Ending, follow
from cache.holding import DiskWait, Holding
from cache.ledger import Ledger
from cache.threads import DiskThreads
from cache.types import Blob, CacheConfig, Purpose, Source
from metrics import Instruments

log = structlog.get_logger(__name__)


class Flights:
    """Owns the flights' tasks. Leaving the context ends those that still run; what they had written goes."""

    def __init__(self, config: CacheConfig, ledger: Ledger, tools: FillTools, instruments: Instruments) -> None:
        self._config, self._ledger, self._tools, self._instruments = config, ledger, tools, instruments
        self._folder: Folder = tools.folder
        self._opening: DiskThreads = tools.opening
        self._known: dict[str, Flight] = {}
        self._tasks: dict[Flight, asyncio.Task[None]] = {}
        self._filling: dict[Flight, Path] = {}
        self._holding = Holding(config.fills_max)
        self._slots = asyncio.Semaphore(config.fills_max)
        self._group = asyncio.TaskGroup()
        self._demand: Demand | None = None

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks.values():
            task.cancel()
        try:
            await self._group.__aexit__(kind, error, trace)
        finally:
            self._tools.traffic.close()

    def open(self, demand: Demand) -> None:
        """From here on there are fills: the folder is open, and so is `demand`, until after the last one has ended."""
        self._demand = demand
        self._tools.traffic.open(demand)
        self._holding.open(demand)

    def get(self, key: str) -> Flight | None:
        """The flight that somebody new may join."""
        flight = self._known.get(key)
        if flight is not None and not flight.is_current:
            self._forget(flight)
            return None
        return flight

    def start(self, blob: Blob, source: Source, *, may_fill: bool, purpose: Purpose = "demand") -> Flight:
        """Begin to look for a blob. There must be no flight of this key, and no `await` since that was looked up."""
        assert blob.key not in self._known
        flight = self._known[blob.key] = Flight(blob, source, may_fill=may_fill)
        if purpose != "demand":  # which its source may know better: a copy of the image is no client
            flight.want(purpose)
        self._tasks[flight] = self._group.create_task(self._run(flight))
        return flight

    def leave(self, flight: Flight) -> None:
        """A reader goes. The last one ends what is of no use without him: by policy also a fill that still copies."""
        flight.leave()
        if flight.readers:
            return
        task = self._tasks.get(flight)
        if task is None:
            self._forget(flight)
        elif flight.part is not Part.FILLING or self._is_to_cancel(flight):
            # Out of the table now, not when its task gets to it: who asks next must not join a dying flight.
            self._forget(flight)
            flight.is_unwanted = True
            task.cancel()

    def _is_to_cancel(self, flight: Flight) -> bool:
        """Whether a fill that nobody waits for is to end: by policy, and if enough of it is left to be worth it."""
        if self._config.on_last_client_gone == "finish" or flight.progress.has_ended:
            return False
        written_bytes = flight.progress.written_bytes
        is_early = written_bytes * 100 < flight.size_bytes * self._config.cancel_below_percent
        return is_early and flight.size_bytes - written_bytes > self._config.cancel_rest_min

    def fail_all(self, error: CacheUnusable) -> None:
        """The disk hangs: readers of growing files go on past the cache, whatever becomes of the threads."""
        for flight in self._tasks:
            flight.progress.fail(error)

    def beat(self, count: int) -> None:
        """Show followers in other processes that the fills of this one live. Blocks.

        Any change of the time will do: it must not stand still when the clock does.
        """
        now_ns = time.time_ns() + count
        for path in list(self._filling.values()):
            with contextlib.suppress(OSError):  # it has just ended
                os.utime(path, ns=(now_ns, now_ns))

    def awaited_elsewhere(self) -> list[Flight]:
        """The fills that were begun for no client, and that one of another worker waits for by now. Blocks."""
        demand = self._demand
        background = [flight for flight in list(self._filling) if flight.purpose != "demand"]
        return [flight for flight in background if demand and demand.is_told_elsewhere(flight.blob.key)]

    async def _run(self, flight: Flight) -> None:
        """The whole life of a flight. Its failure goes to its own readers, never to other flights."""
        retry = False
        try:
            await self._bring(flight)
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to this flight's readers
            flight.progress.fail(error)
            flight.failure = error
            retry = isinstance(error, DigestMismatch) and flight.source.distrust()
        finally:
            # Without an await: who looks up now finds either the blob or nothing, never a flight that is over.
            flight.progress.fail(Abandoned(f"the fill of {flight.blob.key} was ended"))
            del self._tasks[flight]
            if flight.readers == 0 or flight.progress.error is not None:
                self._forget(flight)
            flight.end()
        if retry and flight.blob.key not in self._known and self._config.on_last_client_gone == "finish":
            self.start(flight.blob, flight.source, may_fill=True, purpose=flight.purpose)

    async def _bring(self, flight: Flight) -> None:
        """Find the blob, or follow who fills it, or fill it; again whenever the file it hangs on goes away."""
        self._ledger.check_open("open")
        while not flight.is_stored:
            if flight.progress.is_finished and not flight.is_wanted_on_disk:
                return  # all readers are served, and what became of the file is nobody's concern
            claim = await self._claim(flight)
            flight.locate(claim)
            try:
                if claim.role is Role.READER:
                    self._read(flight, claim)
                elif claim.role is Role.FOLLOWER:
                    await self._follow(flight, claim)
                else:
                    await self._fill(flight, claim)
            except GoneRound:
                log.warning("fill.gone_round", key=flight.blob.key, watermark_bytes=flight.progress.watermark)
            finally:
                try:
                    await self._give_up(flight, claim)
                finally:
                    if claim.fd != flight.fd:
                        os.close(claim.fd)

    async def _claim(self, flight: Flight) -> Claim:
        taken: list[Claim] = []  # by the thread; a cancelled caller finds here what there is to close
        try:
            await self._opening("open", self._take, self._folder.find, flight, taken)
            if not taken:
                if not flight.may_fill:
                    raise NotWorthAFill(flight.blob.key)
                await self._opening("open", self._take, self._folder.claim, flight, taken)
            return taken.pop()
        finally:
            for claim in taken:
                try:
                    await self._give_up(flight, claim)
                finally:
                    os.close(claim.fd)

    async def _give_up(self, flight: Flight, claim: Claim) -> None:
        """Of a fill that nobody wants any more, the file and the promise go before the lock, if it had no byte yet.

        The promise may be another one's: who was ended just before leaves his to who comes after him.
        """
        is_empty = not claim.size_bytes and look(claim.fd).mark is not Mark.KEPT
        if flight.is_unwanted and claim.role is Role.FILLER and is_empty and not flight.is_stored:
            with contextlib.suppress(CacheUnusable):
                await self._tools.disk("remove", self._folder.retire_fill, claim.path, claim.fd)
            await self._ledger.release(claim.path.name)

    @staticmethod
    def _take(look: Callable[[str, int], Claim | None], flight: Flight, taken: list[Claim]) -> None:
        claim = look(flight.blob.key, flight.size_bytes)
        if claim is not None:
            taken.append(claim)

    @staticmethod
    def _read(flight: Flight, claim: Claim) -> None:
        flight.switch(claim.fd)
        flight.read_whole()
        flight.is_stored = True

    async def _follow(self, flight: Flight, claim: Claim) -> None:
        try:
            assert self._demand is not None  # as there is a claim
            ending = await follow(flight, claim, self._demand, stall_s=self._config.stall_s)
        except OSError as error:  # of the locks, or of the file's look
            raise DiskFailed("watch", error) from error
        if ending is Ending.FAILED:
            raise FillFailed(f"the fill of {flight.blob.key} in another process failed: its log says why")
        if ending is Ending.FREED:
            if await self._opening("open", self._folder.is_growing, claim):
                await self._take_over(flight, claim, "died")
            elif look(claim.fd).mark is Mark.WHOLE:
                flight.part, flight.is_stored = Part.READING, True
        elif ending is Ending.STALLED:
            await self._go_round(flight, claim)

    async def _go_round(self, flight: Flight, stalled: Claim) -> None:
        taken: list[Claim] = []

        def supersede(key: str, size_bytes: int) -> Claim | None:
            return self._folder.supersede(key, size_bytes, stalled.path)

        try:
            await self._opening("open", self._take, supersede, flight, taken)
            for mine in taken:
                await self._take_over(flight, mine, "stalled")
        finally:
            for mine in taken:
                if mine.fd != flight.fd:
                    os.close(mine.fd)

    async def _take_over(self, flight: Flight, claim: Claim, reason: str) -> None:
        size_bytes = os.fstat(claim.fd).st_size
        log.warning("fill.taken_over", key=flight.blob.key, at_bytes=size_bytes, reason=reason)
        self._instruments.fill_takeovers.labels(reason).inc()
        flight.part = Part.FILLING
        await self._fill(flight, replace(claim, role=Role.FILLER, size_bytes=size_bytes))

    async def _fill(self, flight: Flight, claim: Claim) -> None:
        """Wait for a turn, but for a fill that changes hands: its clients have begun, and its turn was another's."""
        self._filling[flight] = claim.path
        wait = self._holding.wait_of(flight)
        try:
            if flight.progress.is_started:
                return await self._fly(flight, Fill(flight, claim, self._tools, wait), wait)
            if self._slots.locked() and look(claim.fd).mark is Mark.STARTING:
                # So that who waits in another process knows as well, and may go past the cache.
                with wait():
                    await self._tools.disk("write", set_mark_at, claim.fd, claim.path, Mark.QUEUED)
            async with AsyncExitStack() as turn:
                with self._holding.queue(flight):
                    await turn.enter_async_context(self._slots)
                if look(claim.fd).mark is Mark.QUEUED:
                    with wait():
                        await self._tools.disk("write", set_mark_at, claim.fd, claim.path, Mark.STARTING)
                flight.progress.start()
                await self._fly(flight, Fill(flight, claim, self._tools, wait), wait)
        finally:
            del self._filling[flight]

    async def _fly(self, flight: Flight, fill: Fill, wait: DiskWait) -> None:
        """Promise, copy, publish, enter in the ledger. Whatever happens, no file and no promise is left over.

        Only when this process stops, the file stays: another one goes on with it, now or at the next start.
        """
        name, key, began_s, began_at = fill.path.name, flight.blob.key, time.monotonic(), fill.at
        result = "abandoned"
        self._instruments.fills_in_flight.inc()
        try:
            await self._ledger.reserve(name, flight.blob, wait)
            if flight.fd is not None and flight.fd != fill.fd:
                await fill.adopt(flight.fd, flight.progress.written_bytes)
                flight.switch(fill.fd)
            await fill.copy()
            await fill.publish()
            await self._ledger.commit(name, flight.blob)
        except GoneRound:
            result = "gone_round"
            raise
        except asyncio.CancelledError:
            result = "cancelled" if flight.is_unwanted else "abandoned"
            raise
        except Exception as error:
            # Before the cleaning up, which takes a while: readers learn it now, and who asks next starts anew.
            result = "rejected" if isinstance(error, CacheFull) else type(error).__name__
            if not isinstance(error, CacheUnusable) and flight.progress.written_bytes:
                with contextlib.suppress(CacheUnusable):
                    await fill.condemn()
            flight.progress.fail(error)
            self._forget(flight)
            self._tell_failure(flight, error)
            raise
        else:
            result = "finished"
            flight.part, flight.is_stored = Part.READING, True
            took_s = time.monotonic() - began_s
            self._instruments.fill_seconds.observe(took_s)
            log.info("fill.finished", key=key, size_bytes=flight.size_bytes, duration_s=round(took_s, 3))
        finally:
            self._instruments.fills_in_flight.dec()
            self._instruments.fill_bytes.inc(fill.at - began_at)
            self._instruments.fills.labels(result).inc()
            is_kept = result == "cancelled" and await self._keep(fill)
            if result not in ("finished", "abandoned") and not is_kept:
                with contextlib.suppress(CacheUnusable):
                    await fill.retire()
                await self._ledger.release(name)
            stop_filling(fill.fd)

    async def _keep(self, fill: Fill) -> bool:
        """By policy, of a fill that was cancelled: whether its file stays, with its promise."""
        if not (self._config.cancel_keep_s and fill.at):
            return False
        with contextlib.suppress(CacheUnusable):
            return await fill.keep()
        return False

    def _tell_failure(self, flight: Flight, error: Exception) -> None:
        if isinstance(error, DigestMismatch):
            self._instruments.digest_mismatches.inc()
        log.warning(
            "fill.failed",
            key=flight.blob.key,
            written_bytes=flight.progress.written_bytes,
            size_bytes=flight.size_bytes,
            error=type(error).__name__,
            reason=str(error) if isinstance(error, CacheError) else None,
        )

    def _forget(self, flight: Flight) -> None:
        if self._known.get(flight.blob.key) is flight:
            del self._known[flight.blob.key]
