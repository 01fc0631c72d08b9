"""A worker that stops in the midst of a write transaction of the index, as by a SIGSTOP in this very moment."""

import logging
import os
import signal
import threading
from pathlib import Path
from typing import Any
from unittest.mock import patch

import structlog
import uvloop

from cache import CacheConfig, ImageCache
from cache.index import Index
from cache.index_file import _Transaction
from metrics import Instruments
from tests.content import KIB, Noise
from tests.kill.images import Store, blob_of, body_of

MINE = Noise(300 * KIB, seed=1)
MY_KEY = "im-mine"


def fall_asleep(config: CacheConfig, method: str) -> None:
    """Fill an image, use it, and end; stop once in between, when `method` of the index has the write lock."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    call, enter, is_due = getattr(Index, method), _Transaction.__enter__, [True]

    def calls(index: Index, *args: Any, **kwargs: Any) -> Any:
        with patch.object(_Transaction, "__enter__", enters):
            return call(index, *args, **kwargs)

    def enters(transaction: _Transaction) -> None:
        enter(transaction)
        if is_due:
            is_due.clear()
            # To this thread: sent to the process, another one may take it, and this one go on for a moment.
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)

    with patch.object(Index, method, calls):
        uvloop.run(_live(config))
    os._exit(0)


async def _live(config: CacheConfig) -> None:
    async with ImageCache(config, Instruments()) as cache:
        await cache.store(blob_of(MY_KEY, MINE), Store(MINE))
        async with cache.open(blob_of(MY_KEY, MINE), Store(MINE)) as reader:
            assert await body_of(reader) == MINE.read()
        await cache.usage()  # by which the use is written down


def is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
