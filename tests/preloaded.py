"""`glint` commands without the time that loading Glint takes: see `glint_driver.py`."""

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import IO

_DRIVER = Path(__file__).with_name("glint_driver.py")
_ROOT = _DRIVER.parents[1]


class Preloaded:
    """The driver's process. One for all tests of this process, ended with it: see `driver`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", _DRIVER, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "PYTHONPATH": str(_ROOT)},
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    def start(
        self,
        arguments: Sequence[str | Path],
        environment: Mapping[str, str],
        directory: Path,
        *,
        out: IO[bytes],
        err: IO[bytes],
        grace_s: float,
        forks_workers: bool = False,
        program: str | None = None,
    ) -> "Guarded":
        request = {
            "arguments": [str(argument) for argument in arguments],
            "environment": dict(environment),
            "directory": str(directory),
            "grace_s": grace_s,
            "forks_workers": forks_workers,
            "program": program,
        }
        stdin, ours_in = os.pipe()
        ours_out, stdout = os.pipe()
        guarded = Guarded(ours_in, ours_out)
        with ExitStack() as stack:
            for file in (stdin, stdout):
                stack.callback(os.close, file)
            with self._lock:
                files = [stdin, stdout, out.fileno(), err.fileno()]
                socket.send_fds(self._socket, [json.dumps(request).encode()], files)
                if not self._socket.recv(1):
                    guarded.close()
                    raise RuntimeError("the driver of Glint has ended")
        return guarded

    def run(
        self,
        arguments: Sequence[str | Path],
        environment: Mapping[str, str],
        directory: Path,
        *,
        timeout_s: float,
        forks_workers: bool = False,
        program: str | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """As subprocess.run. Raises subprocess.TimeoutExpired."""
        with ExitStack() as stack:
            out, err = (stack.enter_context(tempfile.TemporaryFile()) for _ in range(2))
            guarded = self.start(
                arguments,
                environment,
                directory,
                out=out,
                err=err,
                grace_s=1,
                forks_workers=forks_workers,
                program=program,
            )
            stack.callback(guarded.close)
            guarded.stdout.readline()
            code = guarded.wait(timeout_s)
            for file in (out, err):
                file.seek(0)
            return subprocess.CompletedProcess(arguments, code, out.read().decode(), err.read().decode())

    def close(self) -> None:
        self._socket.close()
        self._process.wait(10)


class Guarded:
    """A process under a guard, like the Popen of one in what it offers. It is ended when `stdin` is closed."""

    def __init__(self, stdin: int, stdout: int) -> None:
        self.stdin, self.stdout = os.fdopen(stdin, "wb", buffering=0), os.fdopen(stdout, "rb", buffering=0)
        self._code: int | None = None

    def poll(self) -> int | None:
        """The process's exit code once it has ended. For who has read its id from `stdout`."""
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        """Raises subprocess.TimeoutExpired."""
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired("glint", timeout or 0)
        return code

    def close(self) -> None:
        self.stdin.close()
        self.stdout.close()

    def _ended(self, timeout_s: float | None) -> int | None:
        if self._code is None:
            poll = select.poll()
            poll.register(self.stdout, select.POLLIN)
            if poll.poll(None if timeout_s is None else timeout_s * 1000):
                self._code = int(self.stdout.readline() or -signal.SIGKILL)  # nothing: the guard was killed itself
        return self._code


@cache
def driver() -> Preloaded:
    preloaded = Preloaded()
    atexit.register(preloaded.close)
    return preloaded


def run_program(source: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run Python's `source` in a process of its own, as `python -P -c`, where what it imports of Glint is loaded."""
    return driver().run(arguments, {}, _ROOT, timeout_s=200, program=source)
