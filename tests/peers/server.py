"""What all real servers here have in common: a directory, a process, a log, and an end."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol, Self

from tests.peers.ports import is_free

GUARD = Path(__file__).with_name("guard.py")


class Guard(Protocol):
    """A process of tests/peers/guard.py."""

    @property
    def stdin(self) -> IO[bytes] | None: ...
    @property
    def stdout(self) -> IO[bytes] | None: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...


class ServerFailed(Exception):
    """A server did not come up. Carries the end of its log."""

    def __init__(self, name: str, reason: str, log: Path) -> None:
        tail = log.read_text(errors="replace")[-4000:] if log.exists() else "(no log)"
        super().__init__(f"{name} {reason}; the end of {log}:\n{tail}")
        self.name, self.reason = name, reason


class Server(ABC):
    """A real server in its own directory. A context manager, sync and async: entered, it answers; left, it is gone.

    It never outlives this process, however this process ends. All methods block; from a coroutine call the slow ones
    (`start`, `stop`) by `asyncio.to_thread`. Starting again after a stop brings it back on the same port with its data.
    """

    def __init__(self, name: str, directory: Path, *, start_s: float = 200.0, stop_s: float = 5.0) -> None:
        self.name = name
        self.directory = directory
        self.log_path = directory / f"{name}.log"
        self._start_s, self._stop_s = start_s, stop_s
        self._lock = threading.RLock()
        self._guard: Guard | None = None
        self.port = 0  # on loopback; 0 if it has none
        self.pid = 0  # of the server itself, which leads its process group; 0 while it does not run

    @abstractmethod
    def _prepare(self) -> None:
        """Write what the server reads. Called before every start."""

    @abstractmethod
    def _command(self) -> Sequence[str | Path]: ...

    @abstractmethod
    def _answers(self) -> bool:
        """Whether the server does its work, found out as a client would. May raise OSError for no."""

    def _environment(self) -> Mapping[str, str]:
        """Added to a nearly empty environment."""
        return {}

    @property
    def is_running(self) -> bool:
        return self._guard is not None and self._guard.poll() is None

    def start(self) -> None:
        """Raises ServerFailed if the server does not answer in time; nothing of it runs then."""
        with self._lock:
            if self._guard is not None:
                raise RuntimeError(f"{self.name} runs already, or was not stopped after it ended")
            if self.port and not is_free(self.port):
                # Or else the other server would answer in place of this one.
                raise ServerFailed(self.name, f"cannot have its port {self.port}, it is taken", self.log_path)
            self.directory.mkdir(parents=True, exist_ok=True)
            self._prepare()
            try:
                self._launch()
                self._wait_for_answer()
            except BaseException:
                self.stop()
                raise

    def stop(self) -> None:
        """SIGTERM and, should that not help, SIGKILL, to all its processes. Nothing to do if it does not run."""
        with self._lock:
            if self._guard is None:
                return
            assert self._guard.stdin is not None
            assert self._guard.stdout is not None
            self._guard.stdin.close()
            self._guard.wait(self._stop_s + 30)
            self._guard.stdout.close()
            self._guard, self.pid = None, 0

    def close(self) -> None:
        """The end: stops the server and what it was given for itself only."""
        self.stop()

    def freeze(self) -> None:
        """Its sockets stay open and take connections, but nobody answers."""
        os.killpg(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.killpg(self.pid, signal.SIGCONT)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        self.freeze()
        try:
            yield
        finally:
            self.thaw()

    def kill(self) -> None:
        """A crash: SIGKILL to all its processes."""
        with self._lock:
            os.killpg(self.pid, signal.SIGKILL)
            self.stop()

    def _launch(self) -> None:
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C.UTF-8"}
        environment |= {"HOME": str(self.directory)} | dict(self._environment())
        with self.log_path.open("ab") as log:
            self._guard = self._guarded(environment, log)
        assert self._guard.stdout is not None
        line = self._guard.stdout.readline()
        if not line:
            raise ServerFailed(self.name, "could not be executed", self.log_path)
        self.pid = int(line)

    def _guarded(self, environment: Mapping[str, str], log: IO[bytes]) -> Guard:
        return subprocess.Popen(
            [sys.executable, "-ISE", GUARD, str(self._stop_s), *self._command()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=self.directory,
            env=environment,
            start_new_session=True,  # Ctrl-C is for the tests, which then end the server in order
        )

    def _wait_for_answer(self) -> None:
        deadline = time.monotonic() + self._start_s
        while self.is_running:
            try:
                if self._answers():
                    return
            except OSError:
                pass
            if time.monotonic() > deadline:
                raise ServerFailed(self.name, f"did not answer within {self._start_s:g} s", self.log_path)
            time.sleep(0.02)
        raise ServerFailed(self.name, "ended while it was starting", self.log_path)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        try:
            await asyncio.to_thread(self.__enter__)
        except BaseException:
            # Cancelled in mid-start: the thread goes on, and close waits for it before it stops what came of it.
            await asyncio.to_thread(self.close)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.close)
