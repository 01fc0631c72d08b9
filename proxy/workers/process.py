"""One worker as the supervisor sees it: a process, and a socket to it."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from proxy.config import Config
from proxy.startup import WorkerFailed
from proxy.workers.assignment import Assignment

READY = b"ready\n"
SIGNALS = (signal.SIGTERM, signal.SIGINT)
_SAID_MAX = 1024 * 1024
# -P: the folder that the operator works in may have a cache/ or metrics/ of its own, which is no package.
_PROGRAM = ("-P", "-m", "proxy.workers")


class WorkerProcess:
    """Made, it runs. To be entered at once; when that is left, it has ended, by SIGKILL if nothing else did it.

    Everything is inherited by name: nothing else of the supervisor's is open in it. Making one blocks for some
    milliseconds. SIGTERM and SIGINT wait until the worker can handle them, so one is never lost or answered with a
    traceback. Raises OSError if the system has no room for a process.
    """

    def __init__(
        self,
        worker: int,
        front: str,
        config: Config,
        listeners: Sequence[socket.socket],
        numbers_folder: Path,
        notices: int,
        ranges: int,
    ) -> None:
        self._control, theirs = socket.socketpair()
        assignment = Assignment(
            worker=worker,
            control=theirs.fileno(),
            listeners=tuple(listener.fileno() for listener in listeners),
            numbers_folder=numbers_folder,
            notices=notices,
            ranges=ranges,
            config=config,
            front=front,
        )
        try:
            with theirs, assignment.sealed() as fd:
                self._process = _start(fd, pass_fds=(fd, assignment.control, notices, ranges, *assignment.listeners))
        except BaseException:
            self._control.close()
            raise
        self.pid = self._process.pid
        self._pidfd = os.pidfd_open(self.pid)  # before anyone can take note of its end
        self.is_ready = False
        self._began_s = time.monotonic()
        self._ended = asyncio.Event()

    @property
    def age_s(self) -> float:
        return time.monotonic() - self._began_s

    async def ready(self) -> None:
        """Wait until it answers requests. Raises WorkerFailed."""
        said = await self._reader.readline()
        if said != READY:
            said += await self._reader.read(_SAID_MAX)
            await self._ended.wait()
            raise WorkerFailed(said.decode(errors="replace").strip() or f"a worker {self.fate} while it was starting")
        self.is_ready = True

    async def ended(self) -> None:
        await self._ended.wait()
        self.is_ready = False

    @property
    def ended_well(self) -> bool:
        return self._process.poll() == 0

    @property
    def fate(self) -> str:
        """How it ended, in words."""
        code = self._process.poll()
        assert code is not None
        return f"ended with exit code {code}" if code >= 0 else f"was killed by {signal.Signals(-code).name}"

    def drain(self) -> None:
        """Have it finish what runs. One that has nothing to finish yet is ended."""
        self._process.send_signal(signal.SIGTERM if self.is_ready else signal.SIGKILL)

    def kill(self) -> None:
        self._process.kill()

    async def __aenter__(self) -> Self:
        asyncio.get_running_loop().add_reader(self._pidfd, self._on_end)
        try:
            self._reader, self._writer = await asyncio.open_unix_connection(sock=self._control, limit=_SAID_MAX)
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()
        self._writer.close()

    async def _end(self) -> None:
        self.kill()
        await self._ended.wait()

    def _on_end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._process.wait()  # does not wait: it has ended
        self._ended.set()


def _start(assignment_fd: int, pass_fds: Sequence[int]) -> subprocess.Popen[bytes]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # inherited, until the worker has its handlers
    try:
        return subprocess.Popen(  # noqa: S603 - nothing of this command line comes from outside
            [sys.executable, *_PROGRAM, str(assignment_fd)], stdin=subprocess.DEVNULL, pass_fds=pass_fds
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
