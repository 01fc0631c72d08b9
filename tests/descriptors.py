"""What a process has open."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def links_of(pid: int) -> Iterator[str]:
    """What each descriptor of a process stands for. One that is closed meanwhile is left out."""
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            yield str(descriptor.readlink())
