"""Which tasks live: each has a file that its process holds locked. The lock ends with the process, however it ends."""

import fcntl
import os
import time
from pathlib import Path

_MOMENT_S = 0.01


class Claim:
    """One task, ours until it is settled or abandoned. All calls block for a moment."""

    def __init__(self, task_id: str, path: Path, fd: int) -> None:
        self.task_id, self._path, self._fd = task_id, path, fd

    def settle(self) -> None:
        """The task is over in every respect."""
        self._path.unlink(missing_ok=True)
        self._close()

    def abandon(self) -> None:
        """Somebody else shall look after it, or we later."""
        self._close()

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Claims:
    """The folder of these files; several processes may share it. Raises OSError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def prepare(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)

    def make(self, task_id: str) -> Claim:
        """For a task that is new, so that nobody else asks for it."""
        while True:
            if claim := self.take(task_id):
                return claim
            time.sleep(_MOMENT_S)  # somebody who sweeps looked at the file before we had it

    def take(self, task_id: str) -> Claim | None:
        """Claim the task; None if another process has it, or let go of it in this moment."""
        path = self._folder / task_id
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        if os.fstat(fd).st_nlink == 0:  # settled between our opening and locking it
            os.close(fd)
            return None
        return Claim(task_id, path, fd)

    def left(self) -> list[Claim]:
        """The tasks that no process holds, now held by us."""
        names = sorted(path.name for path in self._folder.iterdir())
        return [claim for name in names if (claim := self.take(name)) is not None]
