"""Load on a server, from a process of its own.

`python -m bench.client` reads a job, waits for "go" and tells the outcome.
"""

import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace

from bench.connection import tell
from bench.dawdling import dawdle
from bench.downloading import download
from bench.load import Downloads, Job, Outcome, SlowDownloads, dump, parse_job
from bench.processes import allow_many_files
from bench.requesting import request


def run(job: Job, ready: Callable[[], None]) -> Outcome:
    if job.cores:
        os.sched_setaffinity(0, job.cores)
    if isinstance(job, Downloads):
        return download(job, ready)
    return dawdle(job, ready) if isinstance(job, SlowDownloads) else request(job, ready)


def main() -> None:
    """Read a job; say "ready" when all are connected; go on the next line."""
    began_s = 0.0

    def ready() -> None:
        nonlocal began_s
        tell({"ready": True})
        sys.stdin.readline()
        began_s = time.process_time()

    allow_many_files()
    outcome = run(parse_job(sys.stdin.readline()), ready)
    tell(dump(replace(outcome, cpu_s=time.process_time() - began_s)))


if __name__ == "__main__":
    main()
