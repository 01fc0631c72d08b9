"""Commands on a terminal, as an operator sees them."""

import contextlib
import os
import select
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from tests.glint import Glint
from tests.preloaded import Guarded, driver


@dataclass(frozen=True, slots=True)
class Terminal:
    """A running command and all that it writes."""

    process: Guarded
    screen: int

    def read_until(self, text: str, timeout_s: float = 30.0) -> str:
        seen, deadline_s = "", time.monotonic() + timeout_s
        while text not in seen:
            assert time.monotonic() < deadline_s, seen
            if select.select([self.screen], [], [], 0.1)[0]:
                seen += os.read(self.screen, 65536).decode(errors="replace")
        return seen

    def rest(self) -> str:
        """What comes until the command ends."""
        seen = b""
        with contextlib.suppress(OSError):  # how Linux tells that nobody has the other side open
            while data := os.read(self.screen, 65536):
                seen += data
        self.process.wait(30)
        return seen.decode(errors="replace")


@contextmanager
def on_terminal(glint: Glint, *arguments: str) -> Iterator[Terminal]:
    """`glint ARGUMENTS…` with the configuration of this service."""
    environment = glint.environment_of_commands | {"TERM": "xterm", "COLUMNS": "120"}
    master, slave = os.openpty()
    try:
        with os.fdopen(slave, "wb", buffering=0) as screen:
            command = driver().start(arguments, environment, glint.directory, out=screen, err=screen, grace_s=1)
        with closing(command):
            command.stdout.readline()
            yield Terminal(command, master)
    finally:
        os.close(master)
