"""What disks do to those who trust them, each as an operator would call it."""

import errno
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from tests.disk.book import ALL, SYNCING
from tests.disk.shim import Faults

# A call on a socket that takes its bytes from memory, where it is made by the loop, has no part in what a disk takes.
_WAITING = ALL - {"sendfile"}
_WRITES = ("write", "writev", "pwrite", "pwritev")


def _fails(*calls: str) -> Callable[[Faults], None]:
    return lambda disk: disk.fail(calls, errno.EIO, times=None)


DISK_FAULTS: Mapping[str, Callable[[Faults], None]] = {
    "full": lambda disk: disk.full(),
    "over quota": lambda disk: disk.full(errno.EDQUOT),
    "EIO on write": _fails(*_WRITES),
    "EIO on read": _fails("read", "pread", "preadv", "readv", "sendfile"),
    "EIO on sync": _fails(*SYNCING),
    "EIO on rename": _fails("rename", "replace"),
    "EIO on unlink": _fails("unlink", "remove"),
    "EIO on open": _fails("open"),
    "EIO on all": lambda disk: disk.dead(),
    "slow": lambda disk: disk.delay(_WAITING, 1.0, times=2),
    "hangs": lambda disk: disk.hang(_WAITING),
    "little at once": lambda disk: disk.short(_WRITES, 10_000, times=None),
    "read-only": lambda disk: disk.read_only(),
}


def truncate(files: Iterable[Path]) -> None:
    """To nothing. Of a page, or several that the kernel keeps as one, a part would be overwritten with zeros, even
    where `sendfile` has given it to a socket: of that, no sender can know.
    """
    for path in files:
        os.truncate(path, 0)


def delete(files: Iterable[Path]) -> None:
    for path in files:
        path.unlink()


def flip(files: Iterable[Path]) -> None:
    """One bit in the middle of each."""
    for path in files:
        with path.open("r+b") as file:
            file.seek(path.stat().st_size // 2)
            (byte,) = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte ^ 1]))


FILE_FAULTS: Mapping[str, Callable[[Iterable[Path]], None]] = {
    "truncated under us": truncate,
    "deleted under us": delete,
}
