"""Client processes as the bench holds them: started, connected, let go together, heard out."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.load import Job, Outcome, dump, parse_outcome

ROOT = Path(__file__).parents[1]


class ClientFailed(Exception):
    """A client process ended without telling an outcome."""


class Clients:
    """Processes that are connected and wait. `run` lets them go and returns when the last has ended.

    with Clients(jobs) as clients:
        outcome = clients.run()
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._jobs = jobs
        self._processes: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Self:
        try:
            for job in self._jobs:
                self._start(job)
            for process in self._processes:
                self._next(process)  # "ready"
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end()

    def run(self, told: Callable[[int, int], None] = lambda _process, _body_bytes: None) -> Outcome:
        """`told` hears how many bytes each process has so far, if the job asks for it; from several threads."""
        return Outcome.merged(self.run_each(told))

    def run_each(self, told: Callable[[int, int], None] = lambda _process, _body_bytes: None) -> list[Outcome]:
        """The outcome of each job."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        with ThreadPoolExecutor(len(self._processes)) as ears:
            hearing = [ears.submit(self._hear, *one, told) for one in enumerate(self._processes)]
            return [one.result() for one in hearing]

    def _start(self, job: Job) -> None:
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.client"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._processes.append(process)
        assert process.stdin is not None
        process.stdin.write(dump(job) + "\n")
        process.stdin.flush()

    def _hear(self, number: int, process: subprocess.Popen[str], told: Callable[[int, int], None]) -> Outcome:
        while True:
            said = self._next(process)
            if said.get("kind") == "Outcome":
                return parse_outcome(said)
            told(number, int(said["body_bytes"]))

    @staticmethod
    def _next(process: subprocess.Popen[str]) -> dict[str, Any]:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise ClientFailed("a client process ended early; what it wrote to standard error says why")
        document: dict[str, Any] = json.loads(line)
        return document

    def _end(self) -> None:
        for process in self._processes:
            process.kill()
            process.communicate()
