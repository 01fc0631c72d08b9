"""What a worker is told: a number, inherited descriptors, and the configuration as the supervisor read it.

It goes through a file in memory that only the worker inherits. Arguments and environment can be read by others, and
config.yaml may say something else by the time a worker is replaced.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, SecretStr

from proxy.config import Config


class Assignment(BaseModel, frozen=True, extra="forbid"):
    """`control` is a socket: the worker says on it that it is ready, and sees at its end that the supervisor died."""

    worker: int  # from 0 on; the one that replaces it has the same
    control: int
    listeners: tuple[int, ...]
    numbers_folder: Path
    notices: int  # the table of what the stores refused, which all workers share
    ranges: int  # the table of which parts of images were asked for, likewise
    config: Config
    front: str = "api"  # of FRONTS, what to serve

    @contextmanager
    def sealed(self) -> Iterator[int]:
        """The descriptor of a file in memory with all of this, secrets too."""
        fd = os.memfd_create("glint-assignment")  # not inherited but by who is handed it
        try:
            with os.fdopen(fd, "wb", closefd=False) as file:
                file.write(json.dumps(self.model_dump(), default=_plain).encode())
            os.lseek(fd, 0, os.SEEK_SET)
            yield fd
        finally:
            os.close(fd)

    @classmethod
    def unseal(cls, fd: int) -> Self:
        """Closes `fd`."""
        with os.fdopen(fd, "rb") as file:
            return cls.model_validate_json(file.read())


def _plain(value: Any) -> Any:
    """As JSON can say it. A dump in pydantic's own JSON mode would hide the secrets."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return sorted(value) if isinstance(value, frozenset) else str(value)
