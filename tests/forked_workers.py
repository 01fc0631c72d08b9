"""Workers as forks of their supervisor, which has loaded Glint already: loading it costs more than all else they do.

For a supervisor that is a fork itself, of tests/glint_driver.py. A worker begins as the program would: with the
descriptors that it is handed and no others, without the supervisor's loop, tasks, handlers and threads.
"""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from contextvars import Context
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from proxy.workers import process

_STANDARD = (0, 1, 2)


class Fork:
    """Of subprocess.Popen what a supervisor needs."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None

    def poll(self) -> int | None:
        return self._ended(os.WNOHANG)

    def wait(self) -> int:
        code = self._ended(0)
        assert code is not None
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:  # or else the id may be another's by now
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _ended(self, how: int) -> int | None:
        if self._code is None:
            pid, status = os.waitpid(self.pid, how)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code


def fork_workers(end: Callable[[object], NoReturn]) -> None:
    """From now on, this process's workers are forks of it. Each ends by `end`, as Python does, with its code."""
    program = import_module("proxy.workers.__main__").main

    def start(assignment_fd: int, pass_fds: Sequence[int]) -> Fork:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, process.SIGNALS)  # until the worker has its handlers
        try:
            open_before = _descriptors()
            pid = os.fork()
            if pid == 0:
                _become(program, assignment_fd, (*_STANDARD, *pass_fds), open_before, end)
            return Fork(pid)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    process._start = start  # type: ignore[assignment]


def _become(
    program: Callable[[], None],
    assignment_fd: int,
    handed: Collection[int],
    open_before: dict[int, str],
    end: Callable[[object], NoReturn],
) -> NoReturn:
    code: object = 1
    try:
        gc.freeze()  # what the supervisor let go must not close descriptors that are this one's by then
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        asyncio._set_running_loop(None)
        # Not by number alone: libuv has made new pipes for the fork in the place of its old ones.
        for descriptor, link in _descriptors().items():
            if descriptor not in handed and open_before.get(descriptor) == link:
                os.close(descriptor)
        sys.argv = ["proxy.workers", str(assignment_fd)]
        Context().run(program)
        code = 0
    except SystemExit as ended:
        code = ended.code
    except BaseException:  # noqa: BLE001 - whatever it is, the fork must not go on as a second supervisor
        sys.excepthook(*sys.exc_info())
    finally:
        end(code)


def _descriptors() -> dict[int, str]:
    """What is open in this process, and what for."""
    found = {}
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # that by which they are listed
            found[int(descriptor.name)] = str(descriptor.readlink())
    return found
