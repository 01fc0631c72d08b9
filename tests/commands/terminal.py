"""Commands on a terminal, as an operator sees them."""

import contextlib
import os
import select
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Terminal:
    """A running command and all that it writes."""

    process: subprocess.Popen[bytes]
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
def on_terminal(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[Terminal]:
    master, slave = os.openpty()
    try:
        with subprocess.Popen(
            command, env={**environment, "TERM": "xterm", "COLUMNS": "120"}, stdout=slave, stderr=slave
        ) as process:
            os.close(slave)
            yield Terminal(process, master)
    finally:
        os.close(master)
