"""The fills that run now, one per key, and their lives from promise to entry."""

import asyncio
import time
from types import TracebackType
from typing import Self

import structlog

from cache.errors import Abandoned, CacheError, CacheFull
from cache.fill import Fill, FillTools
from cache.ledger import Ledger
from cache.types import Blob, CacheConfig, Source
from metrics import Instruments

log = structlog.get_logger(__name__)


class Flights:
    """Owns the fills' tasks. Leaving the context ends those that still run; what they had written goes."""

    def __init__(self, config: CacheConfig, ledger: Ledger, tools: FillTools, instruments: Instruments) -> None:
        self._config, self._ledger, self._tools, self._instruments = config, ledger, tools, instruments
        self._running: dict[str, tuple[Fill, asyncio.Task[None]]] = {}
        self._slots = asyncio.Semaphore(config.fills_max)
        self._tasks = asyncio.TaskGroup()

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for _, task in self._running.values():
            task.cancel()
        await self._tasks.__aexit__(kind, error, trace)

    def get(self, key: str) -> Fill | None:
        running = self._running.get(key)
        return running[0] if running else None

    def start(self, blob: Blob, source: Source) -> Fill:
        """Begin a fill. There must be none of this key, and no `await` since that was looked up."""
        assert blob.key not in self._running
        fill = Fill(blob, source, self._tools)
        self._running[blob.key] = fill, self._tasks.create_task(self._run(fill))
        return fill

    def leave(self, fill: Fill) -> None:
        """A reader goes. By the policy of `cache.on_last_client_gone` the last one ends a fill that still copies."""
        fill.leave()
        if fill.readers == 0 and self._config.on_last_client_gone == "cancel" and not fill.progress.has_ended:
            running = self._running.get(fill.blob.key)
            if running and running[0] is fill:
                # Out of the table now, not when its task gets to it: who asks next must not join a dying fill.
                del self._running[fill.blob.key]
                running[1].cancel()

    async def _run(self, fill: Fill) -> None:
        """The whole life of a fill. Its failure goes to its own readers, never to its sibling fills."""
        started = time.monotonic()
        result = "abandoned"
        try:
            async with self._slots:
                fill.started.set()
                await self._fly(fill)
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to this fill's readers
            result = "rejected" if isinstance(error, CacheFull) else type(error).__name__
            fill.progress.fail(error)
            log.warning(
                "fill.failed",
                key=fill.blob.key,
                written_bytes=fill.progress.written_bytes,
                size_bytes=fill.size_bytes,
                error=type(error).__name__,
                reason=str(error) if isinstance(error, CacheError) else None,
            )
        else:
            result = "finished"
            took_s = time.monotonic() - started
            self._instruments.fill_seconds.observe(took_s)
            log.info("fill.finished", key=fill.blob.key, size_bytes=fill.size_bytes, duration_s=round(took_s, 3))
        finally:
            # Without an await: who looks up now finds either this fill's entry or nothing, never a fill that is over.
            fill.progress.fail(Abandoned(f"the fill of {fill.blob.key} was ended"))
            self._forget(fill)
            fill.end()
            self._instruments.fills.labels(result).inc()

    async def _fly(self, fill: Fill) -> None:
        """Promise, copy, publish, enter in the ledger. Whatever happens, no file and no promise is left over."""
        reservation: int | None = await self._ledger.reserve(fill.blob)
        self._instruments.fills_in_flight.inc()
        try:
            await fill.copy()
            await fill.publish()
            assert reservation is not None
            await self._ledger.commit(reservation, fill.blob)
            reservation = None
            fill.is_stored = True
        except Exception as error:
            # Before the cleaning up, which takes a while: readers learn it now, and who asks next starts anew.
            fill.progress.fail(error)
            self._forget(fill)
            raise
        finally:
            self._instruments.fills_in_flight.dec()
            self._instruments.fill_bytes.inc(fill.progress.written_bytes)
            await fill.discard()
            if reservation is not None:
                await self._ledger.release(reservation, None if fill.fd is None else fill.blob.key)

    def _forget(self, fill: Fill) -> None:
        running = self._running.get(fill.blob.key)
        if running and running[0] is fill:
            del self._running[fill.blob.key]
