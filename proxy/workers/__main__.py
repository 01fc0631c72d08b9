"""A worker: `python -P -m proxy.workers DESCRIPTOR`, started by the supervisor only.

It answers requests as a process that is alone does, on sockets that it inherits. It never takes a second signal for
more than the first: the supervisor passes on what the whole process group may have got already.
"""

import asyncio
import os
import signal
import socket
import sys
import traceback

import structlog
import uvloop

from cache import RangeTable
from metrics import count_into
from proxy.departure import unhindered
from proxy.fronts import FRONTS
from proxy.listening import serving, tls_context
from proxy.logs import configure_logging
from proxy.shared import Shared
from proxy.startup import STARTUP_ERRORS, cause_of, spare_the_collector
from proxy.workers.assignment import Assignment
from proxy.workers.process import READY, SIGNALS

log = structlog.get_logger(__name__)


def main() -> None:
    assignment = Assignment.unseal(int(sys.argv[1]))
    configure_logging(assignment.config.logging)
    count_into(assignment.numbers_folder, assignment.worker)
    with socket.socket(fileno=assignment.control) as control:
        worker = Worker(assignment, control)
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(worker.run())
        except Exception as error:  # noqa: BLE001 - whatever it is, the supervisor tells it
            cause = cause_of(error)
            if worker.is_ready:
                raise cause from None
            control.sendall(_told(cause).encode())
            sys.exit(1)


class Worker:
    """One life of it. `control` stays open as long as the supervisor lives."""

    def __init__(self, assignment: Assignment, control: socket.socket) -> None:
        self.is_ready = self._is_orphan = False
        self._assignment, self._control = assignment, control
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Until it is told to stop or the supervisor is gone, and then until the requests under way have ended."""
        for number in SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, self._stopping.set)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        self._control.settimeout(0)
        asyncio.get_running_loop().add_reader(self._control, self._on_supervisor_gone)
        table = RangeTable(self._assignment.ranges, self._assignment.worker)
        shared = Shared(notices=self._assignment.notices, ranges=table)
        config, front = self._assignment.config, FRONTS[self._assignment.front]
        server = front.listening(config)
        listeners = [socket.socket(fileno=fd) for fd in self._assignment.listeners]
        async with (
            front.open(config, shared) as opened,
            unhindered(opened.stuck_s),
            serving(opened.app, listeners, drain_s=server.drain_s, tls=tls_context(server.tls)),
        ):
            spare_the_collector()
            self._control.sendall(READY)
            self.is_ready = True
            await self._stopping.wait()
            if not self._is_orphan:  # whose port another Glint waits for
                await opened.give_notice()
            opened.begin_drain()

    def _on_supervisor_gone(self) -> None:
        """Nothing is ever sent to a worker: what can be read is the end."""
        asyncio.get_running_loop().remove_reader(self._control)
        log.error("worker.orphaned", worker=self._assignment.worker, pid=os.getpid())
        self._is_orphan = True
        self._stopping.set()


def _told(error: BaseException) -> str:
    """A sentence for what an operator can mend, else the traceback."""
    return str(error) if isinstance(error, STARTUP_ERRORS) else "".join(traceback.format_exception(error))


if __name__ == "__main__":
    main()
