"""One request to a store, from its slot to its end: its time-outs, its errors, its numbers."""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import structlog

from upstream.errors import Unavailable, UpstreamError
from upstream.stores.guard.circuits import Line
from upstream.stores.guard.numbers import Numbers
from upstream.stores.guard.watchdog import OutOfTime, Phase, Watchdog

log = structlog.get_logger()


_WORDS = {
    Phase.WAIT: "too many requests waited for it, {:g} s long (wait_s)",
    Phase.OPEN: "it did not agree to a read within {:g} s (open_s)",
    Phase.FIRST_BYTE: "it gave no first byte within {:g} s (first_byte_s)",
    Phase.IDLE: "it gave nothing for {:g} s (idle_s)",
    Phase.SIZE: "it did not answer within {:g} s (size_s)",
    Phase.DELETE: "it did not delete within {:g} s (delete_s)",
    Phase.WRITE: "it took nothing for {:g} s (write_idle_s)",
}


def timed_out(store_id: str, phase: Phase, limit_s: float) -> Unavailable:
    """With the key that says how long was waited."""
    return Unavailable(store_id, _WORDS[phase].format(limit_s), phase=str(phase))


class Call:
    """Told to circuit and metrics when it ends. Errors that no store should raise become Unavailable."""

    def __init__(self, store_id: str, operation: str, line: Line, numbers: Numbers) -> None:
        self.store_id, self.operation, self.line = store_id, operation, line
        self.watchdog = Watchdog()
        self._numbers, self._began_s = numbers, time.monotonic()
        self._result = "cancelled"

    def begun(self) -> None:
        """It has its slot."""
        now_s = time.monotonic()
        self._numbers.took(self.operation, "wait", now_s - self._began_s)
        self._began_s = now_s

    def agreed(self) -> None:
        """From here on it is the reader's affair how much of it he reads."""
        self._result = "ok"

    def answered(self) -> None:
        """All that was asked for came."""
        self._result = "ok"
        self.line.answered()

    def first_byte(self) -> None:
        self._numbers.took(self.operation, "first_byte", time.monotonic() - self._began_s)
        self.line.answered()

    def ended(self) -> None:
        self.watchdog.close()
        self.line.end()
        self._numbers.ended(self.operation, self._result)
        if self._result == "ok":
            self._numbers.took(self.operation, "whole", time.monotonic() - self._began_s)

    @contextmanager
    def translated(self, given: "Given | None" = None) -> Iterator[None]:
        """Ends the watchdog's wait. What the caller's own data raised passes, and is no failure of the store."""
        try:
            try:
                yield
            finally:
                self.watchdog.relax()
        except OutOfTime as error:
            late = timed_out(self.store_id, error.phase, error.limit_s)
            self._failed(late)
            raise late from error
        except UpstreamError as error:
            if given is None or error is not given.error:
                self._failed(error)
            raise
        except Exception as error:
            if given is not None and error is given.error:
                raise
            log.warning("store.failed", store=self.store_id, operation=self.operation, error=type(error).__name__)
            self._failed(error)
            raise Unavailable(self.store_id, type(error).__name__) from error

    @contextmanager
    def within(self, phase: Phase, limit_s: float, given: "Given | None" = None) -> Iterator[None]:
        """What the store is asked inside has to be answered in this time."""
        with self.translated(given):
            self.watchdog.expect(phase, limit_s)
            yield

    def _failed(self, error: Exception) -> None:
        self._result = type(error).__name__
        if isinstance(error, Unavailable) and error.phase is not None:
            self._numbers.timed_out(self.operation, error.phase)
        self.line.failed(error)


class Given:
    """The caller's chunks on their way to a store. The time that they take is not the store's, nor is their error."""

    def __init__(self, chunks: AsyncIterator[bytes], watchdog: Watchdog) -> None:
        self._chunks, self._watchdog = chunks, watchdog
        self.error: Exception | None = None
        self.size_bytes = 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        self._watchdog.pause()
        try:
            chunk = await anext(self._chunks)
        except StopAsyncIteration:
            raise
        except Exception as error:
            self.error = error
            raise
        finally:
            self._watchdog.resume()
        self.size_bytes += len(chunk)
        return chunk
