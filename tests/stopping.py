"""A process that hangs, by SIGSTOP."""

import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

_TRY_S = 0.2
_TIMEOUT_S = 60


@contextmanager
def stopped(pid: int, folder: Path) -> Iterator[None]:
    """It does nothing meanwhile. It is stopped while it writes into none of the SQLite files below `folder`.

    Who is stopped in the midst of that keeps all others from writing, until somebody kills him: SQLite's lock cannot be
    taken from a process that lives.
    """
    deadline_s = time.monotonic() + _TIMEOUT_S
    while True:
        os.kill(pid, signal.SIGSTOP)
        if all(map(_can_be_written, folder.rglob("*.db"))):
            break
        os.kill(pid, signal.SIGCONT)
        assert time.monotonic() < deadline_s, "it never leaves its databases alone"
        time.sleep(_TRY_S)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _can_be_written(database: Path) -> bool:
    """Others that write are soon done."""
    with closing(sqlite3.connect(database, timeout=_TRY_S, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        connection.execute("ROLLBACK")
        return True
