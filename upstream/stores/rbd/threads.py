"""Threads for calls that may hang. One that hangs costs its thread until it returns, and its caller a time-out."""

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

import structlog

from upstream.errors import Unavailable

log = structlog.get_logger()

_T = TypeVar("_T")


class Call(Generic[_T]):
    """One call on its way. It is not ended by whoever gives it up: then `undo` gets what it came to."""

    def __init__(self, call: Callable[[], _T], undo: Callable[[_T], object] | None) -> None:
        self._call, self._undo = call, undo
        self._loop = asyncio.get_running_loop()
        self.done: asyncio.Future[_T] = self._loop.create_future()
        self.is_given_up = False
        self.alive_at = time.monotonic()

    def alive(self) -> None:
        """From any thread: it goes on, however long it takes."""
        self.alive_at = time.monotonic()

    def run(self) -> None:
        """In a thread."""
        result: Any = None
        error: BaseException | None = None
        if self.is_given_up:  # before it began
            self._tell(None, asyncio.CancelledError())
            return
        try:
            self.alive()
            result = self._call()
        except BaseException as raised:  # noqa: BLE001 - raised where it is awaited
            error = raised
        self._tell(result, error)

    def _tell(self, result: Any, error: BaseException | None) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._settle, result, error)

    def _settle(self, result: _T, error: BaseException | None) -> None:
        if self.done.done():
            return
        if error is not None:
            self.done.set_exception(error)
            self.done.exception()  # so that nobody is told of what was given up
        else:
            self.done.set_result(result)

    def undo(self) -> None:
        """In a thread, after a call that was given up succeeded all the same."""
        if self._undo is not None:
            self._undo(self.done.result())

    @property
    def has_leftover(self) -> bool:
        return self._undo is not None and self.is_given_up and self.done.exception() is None


class Threads:
    """At most `threads_max` calls at once, each answered within `patience_s` of its last sign of life, or given up.

    When all threads hang in calls that were given up, further ones fail at once; they are served again as soon as one
    comes back. The threads do not keep the process from ending. For one event loop.
    """

    def __init__(self, service: str, *, threads_max: int, patience_s: float) -> None:
        self._service, self._threads_max, self._patience_s = service, threads_max, patience_s
        self._queue: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._free = asyncio.Semaphore(threads_max)
        self._running: set[Call[Any]] = set()

    @property
    def are_all_hanging(self) -> bool:
        late = time.monotonic() - self._patience_s
        return len(self._running) >= self._threads_max and all(call.alive_at < late for call in self._running)

    async def run(self, call: Callable[[], _T], undo: Callable[[_T], object] | None = None) -> _T:
        """Raises Unavailable if no thread is to be had, or no answer, in time, and what `call` raises."""
        return await self.wait(await self.begin(call, undo))

    async def begin(self, call: Callable[[], _T], undo: Callable[[_T], object] | None = None) -> Call[_T]:
        """Raises Unavailable if no thread is to be had in time."""
        if self.are_all_hanging:
            raise Unavailable(self._service, f"none of the last {self._threads_max} calls was answered")
        try:
            async with asyncio.timeout(self._patience_s):
                await self._free.acquire()
        except TimeoutError:
            raise Unavailable(self._service, f"no thread was free within {self._patience_s:g} s") from None
        return self._started(Call(call, undo))

    async def begin_if_free(self, call: Callable[[], _T]) -> Call[_T] | None:
        """As `begin`, but without waiting: None if all threads are busy."""
        if self._free.locked():
            return None
        await self._free.acquire()  # at once, as it is not locked
        return self._started(Call(call, None))

    async def wait(self, call: Call[_T]) -> _T:
        """The answer. Raises Unavailable if it does not come in time, and what the call raises.

        A caller who is cancelled gives it up.
        """
        try:
            while not call.done.done() and (left_s := call.alive_at + self._patience_s - time.monotonic()) > 0:
                await asyncio.wait([call.done], timeout=left_s)
        except asyncio.CancelledError:
            self.give_up(call)
            raise
        if not call.done.done():
            self.give_up(call)
            raise Unavailable(self._service, f"no answer within {self._patience_s:g} s")
        return call.done.result()

    def give_up(self, call: Call[Any]) -> None:
        """Nobody waits for it any more. It holds its thread until it returns."""
        if not call.is_given_up:
            call.is_given_up = True
            call.done.add_done_callback(lambda _: self._undo(call))

    def clean(self, call: Callable[[], _T]) -> Call[_T]:
        """In the background like `later`, but one may wait for it. It is done in any case."""
        cleaning = Call(call, None)
        self._put(cleaning.run)
        return cleaning

    def later(self, call: Callable[[], object]) -> None:
        """In the background, when a thread is free: to tidy up, which nobody waits for."""

        def quietly() -> None:
            try:
                call()
            except Exception as error:  # noqa: BLE001 - nobody could do anything about it
                log.warning("store.tidying_failed", store=self._service, error=type(error).__name__)

        self._put(quietly)

    async def close(self) -> None:
        """Threads end after what was begun; those that hang are left behind after a while."""
        for _ in self._threads:
            self._queue.put(None)
        await asyncio.to_thread(self._join, time.monotonic() + self._patience_s)

    def _started(self, call: Call[_T]) -> Call[_T]:
        self._running.add(call)
        call.done.add_done_callback(lambda _: self._ended(call))
        self._put(call.run)
        return call

    def _ended(self, call: Call[Any]) -> None:
        self._running.discard(call)
        self._free.release()

    def _undo(self, call: Call[Any]) -> None:
        if call.has_leftover:
            self.later(call.undo)

    def _put(self, work: Callable[[], None]) -> None:
        self._queue.put(work)
        if len(self._threads) < self._threads_max:
            thread = threading.Thread(target=self._work, daemon=True, name=f"store-{self._service}")
            self._threads.append(thread)
            thread.start()

    def _join(self, deadline: float) -> None:
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _work(self) -> None:
        while (work := self._queue.get()) is not None:
            work()
            del work  # or else what it holds stays until the next comes
