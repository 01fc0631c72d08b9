"""A process that does nothing but sleep and look how late it woke: what a machine, and its host, do to any server."""

import select
import subprocess
import sys
import time
from types import TracebackType
from typing import Self

from metrics.loop_lag import SLEEP_S


class Idle:
    """Sleeps as the loop's own watch does, in a process of its own, from entering to leaving."""

    def __init__(self) -> None:
        self.lags_s: list[float] = []  # once left
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.idle"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self._process.stdout.readline()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        written, _ = self._process.communicate("\n")
        self.lags_s = [float(line) for line in written.splitlines()]


def main() -> None:
    """Until a line comes: then it writes how late it was, each time."""
    poller = select.epoll()
    poller.register(sys.stdin.fileno(), select.EPOLLIN)
    lags_s = []
    print("sleeping", flush=True)
    while True:
        due_s = time.monotonic() + SLEEP_S
        if poller.poll(SLEEP_S):
            break
        lags_s.append(max(0.0, time.monotonic() - due_s))
    print("\n".join(f"{lag_s:.6f}" for lag_s in lags_s))


if __name__ == "__main__":
    main()
