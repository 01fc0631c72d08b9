"""Ends this process by SIGKILL at its n-th call that changes, locks or marks a file, or that talks to SQLite.

Syncing is counted and not done: a kill loses no page of the system's, and a sweep makes very many of these calls.
"""

import fcntl
import functools
import os
import random
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterable
from typing import Any

_CALLS = ("open", "rename", "unlink", "mkdir", "chmod", "fchmod", "utime", "dup2")
_SYNCS = ("fsync", "fdatasync")
_LOCKS = ("flock", "fcntl")


class Points:
    """Counts the calls of this process from `install` on. `dies_at` None: only counts."""

    def __init__(self, dies_at: int | None, chance: random.Random) -> None:
        self.passed = 0
        self._dies_at, self._chance = dies_at, chance
        self._lock = threading.Lock()

    def install(self) -> None:
        """For the rest of this process's life."""
        for name in _CALLS:
            setattr(os, name, self._counted(getattr(os, name)))
        for name in _LOCKS:
            setattr(fcntl, name, self._counted(getattr(fcntl, name)))
        for name in _SYNCS:
            setattr(os, name, self._counted(lambda _fd: None))
        os.pwrite = self._torn(os.pwrite)
        sqlite3.connect = functools.partial(sqlite3.connect, factory=self._connection())  # type: ignore[assignment]

    def _is_last(self) -> bool:
        with self._lock:
            self.passed += 1
            return self.passed == self._dies_at

    def _pass(self) -> None:
        if self._is_last():
            os.kill(os.getpid(), signal.SIGKILL)

    def _counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def counted(*args: Any, **kwargs: Any) -> Any:
            self._pass()
            return call(*args, **kwargs)

        return counted

    def _torn(self, pwrite: Callable[[int, Any, int], int]) -> Callable[[int, Any, int], int]:
        """The last write of this process may have happened in part."""

        def torn(fd: int, data: Any, offset: int) -> int:
            if self._is_last():
                pwrite(fd, data[: self._chance.randrange(len(data) + 1)], offset)
                os.kill(os.getpid(), signal.SIGKILL)
            return pwrite(fd, data, offset)

        return torn

    def _connection(self) -> type[sqlite3.Connection]:
        passing = self._pass

        class Counted(sqlite3.Connection):
            def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
                passing()
                return super().execute(sql, parameters)

            def executemany(self, sql: str, parameters: Iterable[Any]) -> sqlite3.Cursor:
                passing()
                return super().executemany(sql, parameters)

            def executescript(self, script: str) -> sqlite3.Cursor:
                passing()
                return super().executescript(script)

        return Counted
