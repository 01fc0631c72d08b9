"""Who was used when is known after a kill, whatever the clock said and whether or not the disk notes it."""

import asyncio
import os
import random
import time
from pathlib import Path
from unittest.mock import patch

import pytest
import uvloop

from cache import CacheConfig, ImageCache
from metrics import Instruments
from tests.kill.checking import files_in
from tests.kill.images import Store, blob_of, config_of
from tests.kill.using import CONTENT, KEYS, LIMIT_BYTES, Using, use
from tests.kill.workers import start
from tests.seeds import seed_of_this_run

LOST_S = 5.0
_BEFORE_S = 60
_SLACK_S = 1.0


@pytest.mark.parametrize(
    ("every_s", "lasts_s"), [(0.1, 1.3), pytest.param(1.0, 13.0, marks=pytest.mark.long)], ids=["tenfold", "real"]
)
def test_the_order_of_use_survives_a_kill(tmp_path: Path, every_s: float, lasts_s: float) -> None:
    """At most the last five seconds are lost; here a second of the cache's is `every_s`.

    Of up to three tries: the turns of the housekeeping take their time as well, on a machine that does something else
    much.
    """
    seen: list[tuple[float, float]] = []
    while not any(likeness >= 0.99 and lost_s <= LOST_S * every_s + _SLACK_S for likeness, lost_s in seen):
        assert len(seen) < 3, seen
        seen.append(_after_a_kill(tmp_path / str(len(seen)), every_s, lasts_s))


def _after_a_kill(scratch: Path, every_s: float, lasts_s: float) -> tuple[float, float]:
    """How like the order is to the one before the kill, and how long before it the first use was that is not known."""
    seed = seed_of_this_run()
    config, uses = config_of(scratch / "cache", LIMIT_BYTES), scratch / "uses"
    scratch.mkdir()
    uvloop.run(_fill(config))
    task = Using(folder=config.dir, uses=uses, seed=seed, every_s=every_s, pause_s=lasts_s / 100)
    process = start(use, task)
    try:
        deadline_s = time.monotonic() + _BEFORE_S
        while not uses.exists() or len(uses.read_text().splitlines()) < len(KEYS):
            assert process.exitcode is None
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        process.join(lasts_s)
        killed_s = time.monotonic()
    finally:
        process.kill()
        process.join()
    _confuse_times(config.dir, random.Random(seed))
    log = [(float(at_s), key) for at_s, key in map(str.split, uses.read_text().splitlines())]

    found = uvloop.run(_order(config))

    lost = next((n for n in range(len(log)) if order_of(log[: len(log) - n]) == found), None)
    assert lost is not None, "that was never the order"
    return spearman(found, order_of(log)), killed_s - log[len(log) - lost][0] if lost else 0.0


def order_of(log: list[tuple[float, str]]) -> list[str]:
    """Keys, the least recently used first."""
    last = {key: n for n, (_, key) in enumerate(log)}
    return sorted(last, key=last.__getitem__)


def spearman(one: list[str], other: list[str]) -> float:
    """Correlation of two orders of the same things."""
    assert set(one) == set(other)
    rank, count = {key: n for n, key in enumerate(other)}, len(one)
    return 1 - 6 * sum((n - rank[key]) ** 2 for n, key in enumerate(one)) / (count * (count**2 - 1))


async def _fill(config: CacheConfig) -> None:
    with patch("os.fsync", lambda _fd: None):
        async with ImageCache(config, Instruments()) as cache:
            await asyncio.gather(*(cache.store(blob_of(key, CONTENT), Store(CONTENT)) for key in KEYS))


async def _order(config: CacheConfig) -> list[str]:
    async with ImageCache(config, Instruments()) as cache:
        return [entry.key for entry in reversed(await cache.entries())]


def _confuse_times(folder: Path, chance: random.Random) -> None:
    """As a disk does that is mounted with noatime, or a clock that is wrong."""
    for path in files_in(folder, "entries"):
        os.utime(path, (chance.randrange(2**31), chance.randrange(2**31)))
