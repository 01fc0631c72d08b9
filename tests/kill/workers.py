"""Processes that are quick to start: forked from one that has imported everything and does nothing else."""

import multiprocessing
from collections.abc import Callable
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import ParamSpec

P = ParamSpec("P")

_CONTEXT: ForkServerContext = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["pytest", "tests.kill.life", "tests.kill.churning", "tests.kill.using"])


def start(work: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> ForkServerProcess:
    """Whoever starts a process ends it."""
    process = _CONTEXT.Process(target=work, args=args, kwargs=kwargs, daemon=True)
    process.start()
    return process


def said_by(report: Path) -> str:
    """What a life reported; nothing if it was killed before."""
    return report.read_text() if report.exists() else ""
