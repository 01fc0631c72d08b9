"""The parent of the workers: it owns the port, keeps every worker's place filled, and shows the sum of their numbers.

No request passes through it. Workers accept from the socket that it holds, so connections that wait there when a
worker dies are answered by another one.
"""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial

import structlog

from cache import new_range_table
from metrics import Supervision, build_metrics_app, forget_what_was_in_flight, numbers_folder, sum_of_workers
from proxy.config import Config
from proxy.fronts import Front
from proxy.listening import CLEANUP_S, address_of, bind, serving
from proxy.startup import WorkerFailed
from proxy.workers.announcement import announce
from proxy.workers.process import SIGNALS, WorkerProcess
from proxy.workers.share import YOUNG_S, restart_delay_s, share_of
from upstream.stores import new_table

log = structlog.get_logger(__name__)

_CLOSING_S = 5.0  # for what a worker closes after its last request


class Place:
    """Of one worker after the other. `start` makes one, `clear` is called when it has ended."""

    def __init__(
        self, worker: int, start: Callable[[int], WorkerProcess], clear: Callable[[int], None], numbers: Supervision
    ) -> None:
        self.filled = asyncio.Event()  # for the first time
        self._worker, self._start, self._clear, self._numbers = worker, start, clear, numbers
        self._process: WorkerProcess | None = None
        self._closing = asyncio.Event()

    @property
    def is_serving(self) -> bool:
        return self._process is not None and self._process.is_ready

    async def keep_filled(self) -> None:
        """Until it is closed and its last worker has ended. Raises WorkerFailed for one that cannot start at first."""
        young_deaths = 0
        while not self._closing.is_set():
            age_s = await self._run_one()
            young_deaths = young_deaths + 1 if age_s < YOUNG_S else 0
            await self._pause(restart_delay_s(young_deaths))

    def close(self) -> None:
        """Let the worker finish what runs, and start none in its place."""
        self._closing.set()
        if self._process:
            self._process.drain()

    def kill(self) -> None:
        """End the worker, whatever runs, and start none in its place."""
        self._closing.set()
        if self._process:
            self._process.kill()

    async def _run_one(self) -> float:
        """A worker from start to end, and how old it became in seconds."""
        try:
            process = self._process = self._start(self._worker)  # known at once: it may have to be closed at any moment
        except OSError as error:  # no memory, or too many processes
            if not self.filled.is_set():
                raise
            log.error("worker.not_started", worker=self._worker, reason=error.strerror)
            return 0.0
        try:
            async with process:
                await self._watch(process)
        finally:
            self._process = None
        self._clear(self._worker)
        return process.age_s

    async def _watch(self, process: WorkerProcess) -> None:
        reason = None
        try:
            await process.ready()
        except WorkerFailed as error:
            if not self.filled.is_set() and not self._closing.is_set():
                raise
            reason = str(error)
        else:
            self._on_ready(process)
            await process.ended()
            self._numbers.workers.dec()
        if not (self._closing.is_set() and process.ended_well):
            age_s = round(process.age_s, 3)
            log.error("worker.died", worker=self._worker, pid=process.pid, age_s=age_s, reason=reason or process.fate)

    def _on_ready(self, process: WorkerProcess) -> None:
        log.info("worker.started", worker=self._worker, pid=process.pid)
        self._numbers.workers.inc()
        if self.filled.is_set():
            self._numbers.worker_restarts.inc()
        self.filled.set()

    async def _pause(self, delay_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._closing.wait()


async def supervise(front: Front, config: Config, workers: int) -> None:
    """Serve with so many processes until SIGTERM or SIGINT; a second one ends them all at once.

    Raises CannotListen, and WorkerFailed if one cannot start; nothing of it runs then.
    """
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(numbers_folder())
        metrics, server = front.metrics(config), front.listening(config)
        metrics_listeners = await bind(metrics.host, metrics.port, front.metrics_section)
        registry = sum_of_workers(folder)
        numbers = Supervision(registry)
        places: list[Place] = []
        metrics_app = build_metrics_app(registry, lambda: any(place.is_serving for place in places))
        await stack.enter_async_context(serving(metrics_app, metrics_listeners, drain_s=0))
        listeners = await bind(server.host, server.port, front.section)
        front.tune(config, listeners)
        for listener in listeners:
            stack.callback(listener.close)
        notices = new_table()
        stack.callback(os.close, notices)
        ranges = new_range_table(workers)
        stack.callback(os.close, ranges)
        start = partial(
            WorkerProcess,
            front=front.name,
            config=share_of(config, workers),
            listeners=listeners,
            numbers_folder=folder,
            notices=notices,
            ranges=ranges,
        )
        clear = partial(forget_what_was_in_flight, folder)
        places += [Place(worker, start, clear, numbers) for worker in range(workers)]
        ended_by = await _run(front, config, places, listeners)
    if ended_by:
        signal.signal(ended_by, signal.SIG_DFL)
        signal.raise_signal(ended_by)
    log.info("server.stopped")


async def _run(
    front: Front, config: Config, places: Sequence[Place], listeners: Sequence[socket.socket]
) -> signal.Signals | None:
    """Until a signal, and then until all workers have ended. The second signal, if there was one."""
    drain_s, notice_s = front.listening(config).drain_s, front.notice_s(config)
    stopping = asyncio.Event()
    second: list[signal.Signals] = []

    def on_signal(number: signal.Signals) -> None:
        if stopping.is_set():
            second.append(number)
            for place in places:
                place.kill()
        stopping.set()

    for number in SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, on_signal, number)
    try:
        async with asyncio.TaskGroup() as tasks:
            keepers = [tasks.create_task(place.keep_filled()) for place in places]
            announcing = tasks.create_task(_announce(front, config, places, *address_of(listeners)))
            await stopping.wait()
            announcing.cancel()
            log.info("server.draining", notice_s=notice_s, drain_s=drain_s)
            for listener in listeners:
                listener.close()
            for place in places:
                place.close()
            await asyncio.wait(keepers, timeout=notice_s + drain_s + CLEANUP_S + _CLOSING_S)
            for place in places:
                place.kill()
    except* WorkerFailed as failures:
        raise failures.exceptions[0] from None  # the others say the same
    return second[0] if second else None


async def _announce(front: Front, config: Config, places: Sequence[Place], host: str, port: int) -> None:
    for place in places:
        await place.filled.wait()
    announce(front, config, host, port, len(places))
