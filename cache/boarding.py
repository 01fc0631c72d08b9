"""What becomes of a request: it takes part in a flight, or goes past the cache."""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from cache.errors import CacheUnusable, NotWorthAFill
from cache.flight import Flight, Part
from cache.flights import Flights
from cache.ledger import Ledger
from cache.range_log import SharedHistory
from cache.range_policy import Answer, RangeLimits, decide_when_absent, decide_while_filling
from cache.types import Blob, CacheConfig, Outcome, Source, Span
from cache.watch import DiskWatch
from metrics import Instruments

log = structlog.get_logger(__name__)

_LOCATE_S = 1.5  # a disk that takes longer to open a file is gone round
_LOCATE_STEPS = 5


class Boarding:
    """Finds each request its flight. Who gets one leaves it when done."""

    def __init__(
        self,
        config: CacheConfig,
        flights: Flights,
        ledger: Ledger,
        watch: DiskWatch,
        history: SharedHistory,
        instruments: Instruments,
    ) -> None:
        self._config, self._flights, self._ledger = config, flights, ledger
        self._watch, self._instruments = watch, instruments
        self._limits = RangeLimits(range_wait_s=config.range_wait_s, range_fill_percent=config.range_fill_percent)
        self._history = history
        self._range_reads = 0

    @contextmanager
    def past_the_cache(self, *, is_part: bool) -> Iterator[None]:
        """One read at the store; those of parts are counted, as they are limited."""
        self._range_reads += is_part
        try:
            yield
        finally:
            self._range_reads -= is_part

    async def boarded(self, blob: Blob, source: Source, span: Span, *, may_fill: bool) -> tuple[Flight | None, Outcome]:
        """A flight that can serve the span, joined; None: past the cache. Raises what the source refused."""
        if not blob.size_bytes:
            return None, Outcome.BYPASS
        tries = (self._is_worth_a_fill(blob.key, blob.size_bytes, span), True) if may_fill else (False,)
        for is_worth_it in tries:
            if not self._watch.is_usable:
                break
            flight, outcome = self._joined(blob, source, may_fill=is_worth_it), Outcome.BYPASS
            try:
                outcome = await self._outcome(flight, span, is_use=may_fill)
            finally:
                if outcome is Outcome.BYPASS:
                    self._flights.leave(flight)
            if outcome is not Outcome.BYPASS:
                return flight, outcome
            if self._is_read_free or not isinstance(flight.progress.error, NotWorthAFill):
                break
            # While this one looked for the image, others took the last reads of parts that were free.
        return None, Outcome.BYPASS

    def _joined(self, blob: Blob, source: Source, *, may_fill: bool) -> Flight:
        """The flight that this request takes part in, begun here if there is none. One step, never seen half done."""
        flight = self._flights.get(blob.key)
        if flight is None:
            flight = self._flights.start(blob, source, may_fill=may_fill)
        else:
            flight.may_fill = flight.may_fill or may_fill
            flight.want("demand")
        flight.join()
        return flight

    @property
    def _is_read_free(self) -> bool:
        """Whether one more part may be read past the cache."""
        return self._range_reads < self._config.range_reads_max

    def _is_worth_a_fill(self, key: str, size_bytes: int, span: Span) -> bool:
        """Whether this request is worth a copy of the whole image, should there be none."""
        flight = self._flights.get(key)
        if span.length == size_bytes or (flight is not None and flight.part is Part.READING):
            return True
        answer = decide_when_absent(
            span,
            self._limits,
            size_bytes=size_bytes,
            asked_bytes=self._history.add(key, span),
            is_read_free=self._is_read_free,
        )
        return answer is Answer.FILL

    async def _outcome(self, flight: Flight, span: Span, *, is_use: bool) -> Outcome:
        """Wait until the flight can serve the span; BYPASS if that takes too long, or the cache has no room, no disk.

        Raises what the source refused.
        """
        is_first = flight.readers == 1 and not flight.located.is_set()
        try:
            await _located(flight)
            if self._is_too_far(flight, span):
                return Outcome.BYPASS
            is_whole = await self._opened(flight)
        except (CacheUnusable, TimeoutError) as error:
            log.info("cache.bypassed", key=flight.blob.key, reason=type(error).__name__)
            return Outcome.BYPASS
        later = Outcome.HIT if is_whole else Outcome.JOIN
        outcome = flight.outcome if is_first else later
        if outcome is Outcome.HIT and is_use:
            self._ledger.touch(flight.blob.key)
        elif outcome is Outcome.MISS:
            self._history.forget(flight.blob.key)
        return outcome

    async def _opened(self, flight: Flight) -> bool:
        """Wait for the source's answer, and not too long for the turn to ask it. Whether all was there already."""
        while True:
            async with asyncio.timeout(self._config.fill_idle_s):
                await flight.progress.started()
            is_whole = flight.progress.is_finished
            if await flight.progress.opened():
                return is_whole

    def _is_too_far(self, flight: Flight, span: Span) -> bool:
        """Whether a range is better read from the store than waited for, while a fill runs."""
        if span.length == flight.size_bytes or flight.progress.has_ended or not flight.progress.is_started:
            return False
        answer = decide_while_filling(
            span,
            self._limits,
            watermark_bytes=flight.progress.watermark,
            rate_bytes_per_s=flight.rate.bytes_per_s(time.monotonic()),
            is_read_free=self._is_read_free,
        )
        self._instruments.range_reads.labels(answer.name.lower()).inc()
        return answer is Answer.DIRECT


async def _located(flight: Flight) -> None:
    """Raises TimeoutError when the disk takes too long.

    In steps: a process that was held up for as long, by a host or a full machine, finds one of them over when it goes
    on, not all, and does not take its own pause for the disk's.
    """
    for _ in range(_LOCATE_STEPS):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LOCATE_S / _LOCATE_STEPS):
                await flight.located.wait()
            return
    raise TimeoutError
