"""The counting origin of the tests, as a process of its own."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was asked of the origin since it began."""

    gets: int
    sent_bytes: int


class OriginProcess:
    """Serves one content of noise, seed 0. Ends when this process does, as its standard input does then."""

    def __init__(self, size_mib: int) -> None:
        self._command = [sys.executable, "-m", "tests.origin", "--size-mib", str(size_mib)]
        self.url = ""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.url = self._read()["urls"][0]
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

    def _read(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())
