"""What the cache does by itself: opens, shows that its fills live, watches its disk, makes room, cleans up, checks."""

import asyncio
import errno
import itertools
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, AsyncExitStack, contextmanager
from enum import StrEnum
from types import TracebackType
from typing import Self

import structlog

from cache.disk import Folder
from cache.errors import Abandoned, DiskFailed, UnknownFormat
from cache.files import become_reader, is_at
from cache.flight import Flight
from cache.flights import Flights
from cache.health import may_pass
from cache.ledger import Ledger
from cache.scrub import Damage, Interrupted, Limiter, Reason, Scrubber, Suspect, check_entry, lasts_too_long
from cache.sums import EXTENT_BYTES
from cache.threads import in_thread, look_at, start_in_thread
from cache.traffic import Traffic
from cache.types import CacheConfig
from cache.watch import DiskWatch
from metrics import Instruments

log = structlog.get_logger(__name__)

_EVERY_S = 1.0
_FLUSH_EVERY = 4  # turns, each of which takes a little more than its second: a kill loses five at most
_FIRST_SCRUB_S = 60.0


class Verdict(StrEnum):
    """What reading an entry back has shown."""

    WHOLE = "whole"
    DAMAGED = "damaged"
    ABSENT = "absent"


class Housekeeping:
    """Owns the tasks and the threads of their own, so that a bad disk, which stops some, does not stop the others."""

    def __init__(
        self,
        config: CacheConfig,
        folder: Folder,
        ledger: Ledger,
        flights: Flights,
        watch: DiskWatch,
        checkers: ThreadPoolExecutor,
        traffic: Traffic,
        instruments: Instruments,
    ) -> None:
        self.refetch: Callable[[str], None] = lambda _: None
        self._config, self._folder, self._ledger, self._flights = config, folder, ledger, flights
        self._watch, self._checkers, self._traffic, self._instruments = watch, checkers, traffic, instruments
        self._beats = ThreadPoolExecutor(1, thread_name_prefix="cache-beat")
        self._probes = ThreadPoolExecutor(1, thread_name_prefix="cache-probe")
        self._scrubs = ThreadPoolExecutor(1, thread_name_prefix="cache-scrub")
        self._suspects: list[str] = []
        self._opened = asyncio.Event()
        self._told: str | None = None  # why the folder is not open, as it was logged
        self._stop = threading.Event()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            for threads in (self._beats, self._probes, self._scrubs):
                stack.callback(threads.shutdown, wait=False)
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            for work in (self._beat(), self._guard(), self._probe(), self._keep(), self._scrub()):
                stack.callback(tasks.create_task(work).cancel)
            stack.callback(self._stop.set)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    def suspect(self, flight: Flight) -> None:
        """A client found that the file cannot be read. Nobody new gets it; it is looked at soon."""
        flight.is_spoilt = True
        self._suspects.append(flight.blob.key)

    async def verify(self, key: str) -> Verdict:
        """Read one entry back, as fast as it goes. A damaged one is quarantined and fetched anew. Raises DiskFailed."""
        try:
            damage = await self._read_back(key)
        except FileNotFoundError:
            return Verdict.ABSENT
        except Interrupted as error:
            raise Abandoned(f"the check of {key} was ended") from error
        except OSError as error:
            raise DiskFailed("read", error) from error
        if damage is None:
            return Verdict.WHOLE
        if damage.reason is Reason.UNREADABLE and not self._watch.is_usable:
            raise DiskFailed("read", OSError(errno.EIO, "the disk as a whole is in trouble"))
        await self._throw_out(key, damage)
        return Verdict.DAMAGED

    async def _beat(self) -> None:
        for count in itertools.count(1):
            await asyncio.sleep(_EVERY_S)
            await in_thread(self._beats, self._flights.beat, count)
            for flight in await in_thread(self._beats, self._flights.awaited_elsewhere):
                flight.want("demand")

    async def _guard(self) -> None:
        while True:
            await asyncio.sleep(_EVERY_S)
            self._watch.check()
            if (operation := self._watch.overdue()) is not None:
                self._flights.fail_all(DiskFailed(operation, TimeoutError("no answer for too long")))

    async def _probe(self) -> None:
        """Apart from the guard: a probe may hang with the disk."""
        while True:
            await asyncio.sleep(_EVERY_S)
            if self._watch.may_probe():
                await in_thread(self._probes, self._watch.probe, self._folder.root)

    async def _read_back(self, key: str) -> Damage | None:
        """It may take minutes: as long as no operation of the disk hangs. Who leaves leaves the thread to itself."""
        reading = start_in_thread(self._checkers, self._check, key)
        reading.add_done_callback(look_at)
        while not (await asyncio.wait({reading}, timeout=_EVERY_S))[0]:
            if self._watch.overdue() is not None:
                raise TimeoutError(errno.ETIMEDOUT, "it does not answer")
        return reading.result()

    async def open(self) -> None:
        """Try to open the folder: once before entering, then it is done by itself until there is one.

        Raises UnknownFormat, DiskFailed, unless it is for the disk: then the cache is gone round.
        """
        try:
            self._flights.open(await self._ledger.open())
        except DiskFailed as error:
            if not may_pass(error.error):
                raise
            self._watch.unopened()
            self._tell_refusal(error)
        else:
            self._watch.opened()
            self._opened.set()

    def _tell_refusal(self, error: DiskFailed | UnknownFormat) -> None:
        if str(error) != self._told:
            self._told = str(error)
            log.error("cache.unopened", dir=str(self._folder.root), error=str(error), reason="gone round, tried again")

    async def _open_later(self) -> None:
        """By now whatever keeps it from being opened may pass: also a folder below the one whose disk is missing."""
        while not self._opened.is_set():
            await asyncio.sleep(_EVERY_S)
            try:
                await self.open()
            except (DiskFailed, UnknownFormat) as error:
                self._tell_refusal(error)

    async def _keep(self) -> None:
        await self._open_later()
        failed: DiskFailed | None = None
        for turn in itertools.count():
            try:
                if turn == 0:
                    await self._ledger.settled()
                if failed is not None:
                    await self._ledger.mend(failed)
                failed = None
                await self._keep_once(is_flush=turn % _FLUSH_EVERY == 0)
            except DiskFailed as error:
                log.warning("housekeeping.failed", error=str(error))
                failed = error
            await asyncio.sleep(_EVERY_S)

    async def _keep_once(self, *, is_flush: bool) -> None:
        if not self._watch.is_usable:
            return
        for key in await self._ledger.sweep():
            self.refetch(key)
        await self._ledger.trim()
        suspects, self._suspects = self._suspects, []
        for key in dict.fromkeys(suspects):
            await self.verify(key)
        if is_flush:
            await self._ledger.usage()  # with the uses and the gauges

    async def _scrub(self) -> None:
        """Pass after pass, in one process at a time."""
        if not self._config.scrub_rate_max:
            return
        await self._opened.wait()
        loop = asyncio.get_running_loop()
        await asyncio.sleep(min(_FIRST_SCRUB_S, self._config.scrub_interval_s))
        while True:
            began_s = loop.time()
            try:
                self._warn_of_slow_scrub((await self._ledger.usage()).committed_bytes)
                await in_thread(self._scrubs, self._scrub_all)
            except (OSError, DiskFailed) as error:
                log.warning("scrub.failed", error=str(error))
            await asyncio.sleep(max(0.0, began_s + self._config.scrub_interval_s - loop.time()))

    def _warn_of_slow_scrub(self, size_bytes: int) -> None:
        rate_max = self._config.scrub_rate_max
        if lasts_too_long(size_bytes, rate_max):
            days = round(size_bytes / rate_max / 86400, 1)
            log.warning("scrub.slow", days=days, reason="raise cache.scrub_rate_max: a pass should take a week at most")

    def _scrub_all(self) -> None:
        limiter = Limiter(self._config.scrub_rate_max, self._stop)

        def may_read(size_bytes: int) -> bool:
            self._instruments.scrub_bytes.inc(size_bytes)
            return limiter(size_bytes) and self._traffic.wait(0, lambda: not self._stop.is_set())

        def report(suspect: Suspect, damage: Damage | None) -> None:
            if damage is not None:
                self._suspects.append(suspect.key)  # looked at once more within a second, then thrown out

        with self._folder.exclusive("scrub") as is_ours:
            if is_ours:
                suspects = (self._suspect_of(key) for key in self._folder.by_last_check())
                Scrubber(may_read, hold=self._hold, operation=self._reading).run(filter(None, suspects), report)

    def _check(self, key: str) -> Damage | None:
        suspect = self._suspect_of(key)
        if suspect is None:
            raise FileNotFoundError(key)
        with self._hold(suspect):
            return check_entry(suspect, lambda _: not self._stop.is_set(), self._reading)

    def _reading(self) -> AbstractContextManager[None]:
        return self._watch.operation("read")

    @contextmanager
    def _hold(self, suspect: Suspect) -> Iterator[None]:
        """Keep an entry in its place. Raises FileNotFoundError if it has gone."""
        fd = os.open(suspect.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if not become_reader(fd) or not is_at(fd, suspect.path):
                raise FileNotFoundError(suspect.path)
            yield
        finally:
            os.close(fd)

    def _suspect_of(self, key: str) -> Suspect | None:
        found = self._folder.entry_stat(key)
        if found is None:
            return None
        return Suspect(
            key=key,
            path=self._folder.entry_path(key),
            sums_path=self._folder.sums_path(key),
            size_bytes=found.size_bytes,
        )

    async def _throw_out(self, key: str, damage: Damage) -> None:
        self._instruments.scrub_errors.inc()
        log.error(
            "entry.damaged",
            key=key,
            reason=str(damage.reason),
            at_bytes=None if damage.extent is None else damage.extent * EXTENT_BYTES,
        )
        await self._ledger.quarantine(key)
        self.refetch(key)
