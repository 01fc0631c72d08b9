"""Threads that send files: the event loop hands them a body, looks after everything else, and is told when it is out.

`sendfile` runs without the interpreter's lock, so a turn of some megabytes holds nobody but its own thread: small
answers do not wait for large ones, and one process sends from several cores.
"""

import asyncio
import contextlib
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial

from proxy.transfer import pages
from proxy.transfer.cold import ColdPages
from proxy.transfer.errors import DiskSlow
from proxy.transfer.stretch import Stretch, Turn

THREADS_MAX = 4
# Where cores are short, who asks for something small is served before the next megabytes of who has had some.
_NICENESS = 5
_ENDS_WITHIN_S = 1.0
_LOOKED_AT_S = 0.25  # so often is asked for how long the disk lets somebody wait


class Pump:
    """Bodies, each with the thread that has least to do. `close` ends the threads, and what they still send."""

    def __init__(self, cold: ColdPages, threads: int | None = None) -> None:
        count = threads or min(THREADS_MAX, len(os.sched_getaffinity(0)))
        self._threads = [_Thread(f"sending-{number}", cold) for number in range(count)]

    async def send(self, stretch: Stretch, *, idle_s: float, disk_s: float | None = None) -> None:
        """Return when the stretch is out. The disk may let it wait for `disk_s`; None: pages.DISK_S.

        Takes the stretch over: it is closed in any case, by the thread if the caller is cancelled. Raises
        TimeoutError if the client took no byte for `idle_s`, DiskSlow, and what else went wrong.
        """
        job = _Job(stretch, asyncio.get_running_loop(), pages.DISK_S if disk_s is None else disk_s)
        min(self._threads, key=_Thread.load).take(job)
        try:
            while not job.done.done():
                before = stretch.at
                await asyncio.wait({job.done}, timeout=idle_s)
                if not job.done.done() and stretch.at == before and not job.is_cold:
                    raise TimeoutError
        finally:
            job.is_abandoned = True
            if not job.done.done():
                job.wake()
        job.done.result()

    async def close(self) -> None:
        """Returns when the threads have ended. One that a hanging disk holds keeps what it has, and ends with us."""
        for thread in self._threads:
            thread.tell_end()
        await asyncio.gather(*(asyncio.to_thread(thread.wait_for_end) for thread in self._threads))


class _Job:
    """A stretch in a thread's hands. The loop reads `stretch.at`, and may abandon it; the thread does the rest."""

    def __init__(self, stretch: Stretch, loop: asyncio.AbstractEventLoop, disk_s: float) -> None:
        self.stretch, self._loop, self.disk_s = stretch, loop, disk_s
        self.done: asyncio.Future[None] = loop.create_future()
        self.is_abandoned = False
        self.is_cold = False  # it waits for the disk; ended by the thread that waits there
        self.cold_s = 0.0  # for so long, as far as was looked
        self.error: Exception | None = None  # of that wait
        self.wake: Callable[[], None] = lambda: None

    def end(self, error: Exception | None) -> None:
        """In the thread."""
        self.stretch.close()
        self.tell(error)

    def tell(self, error: Exception | None) -> None:
        """In the thread, once. Nobody is told of what was abandoned: the loop may be gone by then."""
        if not self.is_abandoned:
            self._loop.call_soon_threadsafe(self._settle, error)

    def _settle(self, error: Exception | None) -> None:
        if self.done.done():
            return
        if error is not None:
            self.done.set_exception(error)
        else:
            self.done.set_result(None)


class _Thread:
    """One epoll and the jobs that wait in it. Only `_run` and what it calls is done in the thread."""

    def __init__(self, name: str, cold: ColdPages) -> None:
        self._cold = cold
        self._jobs: dict[int, _Job] = {}
        self._aside: set[_Job] = set()  # those that wait for the disk
        self._incoming: deque[_Job] = deque()
        self._poller = select.epoll()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poller.register(self._bell, select.EPOLLIN)
        self._is_ending = self._has_ended = False
        self._looked_s = time.monotonic()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def load(self) -> int:
        return len(self._jobs) + len(self._aside) + len(self._incoming)

    def take(self, job: _Job) -> None:
        job.wake = self.wake
        self._incoming.append(job)
        self.wake()

    def wake(self) -> None:
        if not self._is_ending:
            os.eventfd_write(self._bell, 1)

    def tell_end(self) -> None:
        self._is_ending = True
        os.eventfd_write(self._bell, 1)

    def wait_for_end(self) -> None:
        self._thread.join(timeout=_ENDS_WITHIN_S)
        if not self._thread.is_alive():
            os.close(self._bell)

    def _run(self) -> None:
        with contextlib.suppress(OSError):  # a sandbox may forbid it
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), os.getpriority(os.PRIO_PROCESS, 0) + _NICENESS)
        try:
            while not self._is_ending:
                for number, _ in self._poller.poll(_LOOKED_AT_S if self._aside else None):
                    if number == self._bell:
                        os.eventfd_read(self._bell)
                        self._drop_abandoned()
                    elif (job := self._jobs.get(number)) is not None:
                        self._turn(number, job)
                    # Who has just come gets its first bytes before the others go on.
                    while self._incoming:
                        self._begin(self._incoming.popleft())
                self._give_up_slow()
        finally:
            self._has_ended = True
            for job in self._jobs.values():
                job.stretch.close()
            self._close_incoming()
            self._poller.close()

    def _begin(self, job: _Job) -> None:
        self._aside.discard(job)
        if job.is_abandoned or job.error is not None:
            job.end(job.error)
            return
        number = job.stretch.socket
        try:
            self._poller.register(number, select.EPOLLOUT)
        except OSError as error:
            job.end(error)
            return
        self._jobs[number] = job
        self._turn(number, job)

    def _turn(self, number: int, job: _Job) -> None:
        error: Exception | None = None
        try:
            turn = Turn.DONE if job.is_abandoned else job.stretch.turn()
        except Exception as found:  # noqa: BLE001 - whatever it is, it is the waiting client's, not the thread's
            turn, error = Turn.DONE, found
        if turn is not Turn.GOING_ON:
            self._forget(number)
            if turn is Turn.COLD:
                self._set_aside(job)
            else:
                job.end(error)

    def _set_aside(self, job: _Job) -> None:
        self._aside.add(job)
        job.is_cold, job.cold_s = True, 0.0
        stretch = job.stretch
        self._cold.bring(stretch.file, stretch.at, stretch.turn_stop, stretch.stop, partial(self._brought, job))

    def _brought(self, job: _Job, error: Exception | None) -> None:
        """In a thread that waited for the disk, or in this one."""
        job.error, job.is_cold = error, False
        self._incoming.append(job)
        self.wake()
        if self._has_ended:
            self._close_incoming()

    def _give_up_slow(self) -> None:
        """Whoever can goes on without the disk. What waits for it keeps its descriptors until the disk is back.

        A look counts for little, however long ago the last one was: a process that was held up has not waited.
        """
        now_s = time.monotonic()
        passed_s = min(now_s - self._looked_s, 2 * _LOOKED_AT_S)
        self._looked_s = now_s
        for job in self._aside:
            job.cold_s += passed_s
            if job.is_cold and job.cold_s > job.disk_s:
                job.tell(DiskSlow(f"the disk gave no byte for {job.disk_s:g} s"))
                job.is_abandoned = True

    def _drop_abandoned(self) -> None:
        for number, job in [item for item in self._jobs.items() if item[1].is_abandoned]:
            self._forget(number)
            job.end(None)

    def _forget(self, number: int) -> None:
        del self._jobs[number]
        self._poller.unregister(number)

    def _close_incoming(self) -> None:
        """Of what this thread and one that waited for the disk may both find, each is closed once."""
        with contextlib.suppress(IndexError):
            while True:
                self._incoming.popleft().stretch.close()
