"""The counting origin of the tests, as a process of its own."""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

ROOT = Path(__file__).parents[1]
_SETTLE_S, _SETTLE_TURNS = 0.2, 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was asked of the origin since it began."""

    gets: int
    sent_bytes: int


class OriginProcess:
    """Serves one content of noise, seed 0, whatever the query. Ends when this process does, as its input ends then.

    `rate_mib_s` is for each answer; 0: as fast as it can.
    """

    def __init__(self, size_mib: int, rate_mib_s: int = 0) -> None:
        self._command = [sys.executable, "-m", "tests.origin", "--size-mib", str(size_mib)]
        if rate_mib_s:
            self._command += ["--rate-mib-s", str(rate_mib_s)]
        self.url, self.port, self.pid = "", 0, 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,  # so that it can be measured as the servers are
        )
        self.pid = self._process.pid
        self.url = self._read()["urls"][0]
        self.port = urlsplit(self.url).port or 0
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()

    def seen(self) -> Seen:
        assert self._process.stdin is not None
        self._process.stdin.write("counts\n")
        self._process.stdin.flush()
        counts = self._read()[0]
        return Seen(gets=counts["gets"], sent_bytes=counts["sent_bytes"])

    def settled(self) -> Seen:
        """Once nothing moves any more: a fill may go on when its clients have left."""
        seen = self.seen()
        for _ in range(_SETTLE_TURNS):
            time.sleep(_SETTLE_S)
            before, seen = seen, self.seen()
            if seen == before:
                break
        return seen

    def _read(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())
