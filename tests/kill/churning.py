"""One worker of the churn: it fills, reads, leaves, evicts and pins, without pause, until it is told to stop.

Its report, rewritten every moment: what went wrong, or how much it did and how late its loop was at worst.
"""

import asyncio
import hashlib
import json
import logging
import os
import random
import traceback
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog
import uvloop

from cache import CacheUnusable, ImageCache, Reader
from metrics import Instruments
from tests.content import MIB, Noise
from tests.kill.images import Store, blob_of, body_of, config_of, images

COUNT, LARGEST_BYTES, LIMIT_BYTES = 60, 6 * MIB, 40 * MIB
CLIENTS = 4
_TICK_S = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Churn:
    """`stop` is a file: once it is there, the worker ends."""

    folder: Path
    report: Path
    stop: Path
    seed: int


def churn(task: Churn) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    worker = _Worker(task)
    try:
        uvloop.run(worker.run())
    except BaseException:  # noqa: BLE001 - it goes to the test
        worker.trouble = traceback.format_exc()
    worker.tell()
    os._exit(0)


class _Worker:
    def __init__(self, task: Churn) -> None:
        self._task = task
        self._chance = random.Random(task.seed)
        self._done: Counter[str] = Counter()
        self._lags_s: list[float] = []
        self.trouble = ""

    def tell(self) -> None:
        self._lags_s = sorted(self._lags_s)[-1000:]
        rank = max(0, len(self._lags_s) - 1 - self._done["ticks"] // 100)
        said = {
            "trouble": self.trouble,
            "done": self._done,
            "lag_p99_s": self._lags_s[rank] if self._lags_s else 0,
            "lag_s": self._lags_s[-1] if self._lags_s else 0,
        }
        unfinished = self._task.report.with_suffix(".new")
        unfinished.write_text(json.dumps(said))
        unfinished.rename(self._task.report)

    async def run(self) -> None:
        config = config_of(self._task.folder, LIMIT_BYTES).model_copy(
            update={"on_last_client_gone": "cancel", "cancel_keep_s": self._chance.choice((0, 2))}
        )
        if self._chance.random() < 0.5:
            config = config.model_copy(update={"on_last_client_gone": "finish"})
        async with ImageCache(config, Instruments()) as cache, asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(self._watch())
            async with asyncio.TaskGroup() as clients:
                for _ in range(CLIENTS):
                    clients.create_task(self._client(cache))
            watching.cancel()

    async def _watch(self) -> None:
        """How late the loop is. The report is not counted in: it is the test's."""
        loop = asyncio.get_running_loop()
        told_s = loop.time()
        while True:
            began_s = loop.time()
            await asyncio.sleep(_TICK_S)
            self._lags_s.append(loop.time() - began_s - _TICK_S)
            self._done["ticks"] += 1
            if began_s - told_s > 1:
                self.tell()
                told_s = loop.time()

    async def _client(self, cache: ImageCache) -> None:
        chance = random.Random(self._chance.random())
        contents = images(COUNT, LARGEST_BYTES)
        while not self._task.stop.exists():
            key = sorted(contents)[min(int(chance.expovariate(2 / COUNT)), COUNT - 1)]
            content = contents[key]
            match chance.choices(("whole", "part", "leave", "evict", "pin", "hold"), (8, 2, 3, 1, 1, 1))[0]:
                case "evict":
                    await cache.evict(key)
                case "pin":
                    if await cache.pin(key, pinned=True):
                        await asyncio.sleep(chance.random() / 10)
                        await cache.pin(key, pinned=False)
                case "leave":
                    async with cache.open(blob_of(key, content), Store(content, pause_s=0.0005)) as reader:
                        with suppress(CacheUnusable):
                            if reader.has_file:
                                await reader.beyond(chance.randrange(content.size_bytes))
                case act:
                    await self._read(cache, chance, key, content, act)
            self._done["acts"] += 1

    async def _read(self, cache: ImageCache, chance: random.Random, key: str, content: Noise, act: str) -> None:
        start, stop = 0, content.size_bytes
        if act == "part":
            start, stop = sorted(chance.sample(range(content.size_bytes + 1), 2))
        store = Store(content, pause_s=chance.choice((0, 0, 0.001)))
        async with cache.open(blob_of(key, content), store, start=start, stop=stop) as reader:
            self._done[reader.outcome] += 1
            if act == "hold":  # it may be evicted meanwhile
                await asyncio.sleep(chance.random() * 1.5)
            await self._compare(reader, content, start, stop)

    async def _compare(self, reader: Reader, content: Noise, start: int, stop: int) -> None:
        if (start, stop) != (0, content.size_bytes):
            assert await body_of(reader, start, stop) == content.read(start, stop), "a part was served wrong"
            return
        body = await body_of(reader)
        digest = await asyncio.to_thread(lambda: hashlib.sha256(body).hexdigest())
        assert digest == content.digest("sha256"), f"an image was served wrong, as a {reader.outcome}"
