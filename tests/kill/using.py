"""One worker whose entries are used in an order that it writes down, until it is killed. Its clock jumps all the time.

The file `uses` has a line for each use: the moment, by a clock that all processes share and nobody sets, and the key.
"""

import asyncio
import logging
import os
import random
import time
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import structlog
import uvloop

from cache import ImageCache, Outcome
from metrics import Instruments
from tests.content import Noise
from tests.kill.images import Store, blob_of, config_of

ENTRIES = 200
LIMIT_BYTES = 1_000_000
CONTENT = Noise(100)
KEYS = [f"im-{n}" for n in range(ENTRIES)]
DAY_S = 86400


@dataclass(frozen=True, slots=True, kw_only=True)
class Using:
    """`every_s` is a second of the housekeeping. All entries are used once, then ten of them on and on."""

    folder: Path
    uses: Path
    seed: int
    every_s: float
    pause_s: float


def use(task: Using) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    chance = random.Random(task.seed)
    now_s = time.time
    with (
        patch("cache.housekeeping._EVERY_S", task.every_s),
        patch("time.time", lambda: now_s() + chance.choice((-DAY_S, 0, DAY_S))),
    ):
        uvloop.run(_use(task, chance))


async def _use(task: Using, chance: random.Random) -> None:
    said = os.open(task.uses, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)

    async def one(key: str) -> None:
        async with cache.open(blob_of(key, CONTENT), Store(CONTENT)) as reader:
            assert reader.outcome is Outcome.HIT
        os.write(said, f"{time.monotonic()} {key}\n".encode())

    async with ImageCache(config_of(task.folder, LIMIT_BYTES), Instruments()) as cache:
        for key in chance.sample(KEYS, ENTRIES):
            await one(key)
        hot = chance.sample(KEYS, 10)
        while True:
            await one(chance.choice(hot))
            await asyncio.sleep(task.pause_s)
