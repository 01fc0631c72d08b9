"""The side of RemoteDiskFaults in the process whose disk fails."""

import json
import os
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from tests.disk.book import Book, Fault, InForce
from tests.disk.hooks import hooked
from tests.disk.shim import CONTROL, FOLDER, told_path

_FOR_EVER = ExitStack()
_stat, _open, _write = os.stat, os.open, os.write


class FileBook(Book):
    """Read from a file whenever that is another one."""

    def __init__(self, control: Path) -> None:
        super().__init__()
        self._control, self._told, self._version = control, told_path(control), (0, 0)

    def refresh(self) -> None:
        stat = _stat(self._control)
        version = stat.st_ino, stat.st_mtime_ns
        if version != self._version:
            self._version = version
            self.put(Fault.from_json(document) for document in json.loads(self._control.read_text()))

    def due(self, names: Iterable[str], path: str) -> list[InForce]:
        names = list(names)
        found = super().due(names, path)
        if found:
            fd = _open(self._told, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            _write(fd, "".join(f"{name}\n" for name in names).encode())
            os.close(fd)
        return found


def obey() -> None:
    """For the rest of this process's life."""
    _FOR_EVER.enter_context(hooked(Path(os.environ[FOLDER]), FileBook(Path(os.environ[CONTROL]))))
