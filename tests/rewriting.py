"""Rewrites the asserts of the tests before the workers of a run load them.

pytest does so when it loads a test, and keeps what came of it. In a fresh clone all workers load the same test at the
same time, and each would do it for itself: a third of what collecting takes them.
"""

import os
import sys
from pathlib import Path

import pytest
from _pytest.assertion import rewrite

_HERE = Path(__file__).parent


def rewrite_ahead(config: pytest.Config) -> None:
    """By as many processes as there are processors. What is not rewritten in the end, pytest rewrites."""
    state = config.stash.get(rewrite.assertstate_key, None)
    if sys.dont_write_bytecode or state is None or state.mode != "rewrite":
        return
    wanting = [
        (test, compiled)
        for name in ("test_*.py", "conftest.py")
        for test in sorted(_HERE.rglob(name))
        if rewrite._read_pyc(test, compiled := _compiled(test)) is None
    ]
    processors = os.cpu_count() or 1
    children = [_forked(config, wanting[number::processors]) for number in range(processors)] if wanting else []
    for child in children:
        os.waitpid(child, 0)


def _compiled(test: Path) -> Path:
    return rewrite.get_cache_dir(test) / f"{test.stem}{rewrite.PYC_TAIL}"


def _forked(config: pytest.Config, tests: list[tuple[Path, Path]]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            for test, compiled in tests:
                stat, code = rewrite._rewrite_test(test, config)
                compiled.parent.mkdir(parents=True, exist_ok=True)
                rewrite._write_pyc(config.stash[rewrite.assertstate_key], code, stat, compiled)
        finally:
            os._exit(0)
    return pid
