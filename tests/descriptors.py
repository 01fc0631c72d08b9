"""What a process has open, and who holds which lock."""

import gc
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def links_of(pid: int) -> Iterator[str]:
    """What each descriptor of a process stands for. One that is closed meanwhile is left out."""
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            yield str(descriptor.readlink())


def count_open() -> int:
    """Of this process, without those that are left to the collector, of this test or an earlier one."""
    gc.collect()
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def locker_of(path: Path) -> int | None:
    """The process that has a file's flock for itself; others may have the file open as well, and look whether it is."""
    pattern = re.compile(rf"FLOCK +ADVISORY +WRITE (\d+) \S+:{path.stat().st_ino} ")
    found = pattern.search(Path("/proc/locks").read_text())
    return None if found is None else int(found[1])
