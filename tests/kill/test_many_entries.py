"""A start on a folder with very many entries: hits need not wait until all of them are known."""

import asyncio
import json
import os
import random
import shutil
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest

from cache import ImageCache, Outcome
from cache.index import Index
from cache.sums import Summer
from metrics import Instruments
from tests.clients import download, fast_digest
from tests.content import Noise
from tests.glint import Glint
from tests.kill.images import Store, blob_of, body_of, config_of
from tests.origin import Origin
from tests.takeover.service import wait_until

CONTENT = Noise(16)
KEY = "b1a5ed00-0000-4000-8000-000000000001"
_LIMIT_BYTES, _MANY, _WORKERS = 2**30, 1_000_000, 2
_ENTRY_MAX_BYTES = 300  # of memory, in each worker
_SETTLED_S = 600


async def test_a_hit_does_not_wait_until_the_folder_was_looked_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(tmp_path / "cache", _LIMIT_BYTES)
    async with ImageCache(config, Instruments()):
        pass
    await asyncio.to_thread(_lay, config.dir, 50)
    go_on, settle = threading.Event(), Index.settle

    def waits(index: Index, *args: Any) -> int:
        assert go_on.wait(60)
        return settle(index, *args)

    monkeypatch.setattr(Index, "settle", waits)
    async with ImageCache(config, Instruments()) as cache:
        try:
            async with cache.open(blob_of(KEY, CONTENT), Store(CONTENT)) as reader:
                assert reader.outcome is Outcome.HIT
                assert await body_of(reader) == CONTENT.read()
        finally:
            go_on.set()
        assert (await cache.usage()).entries == 50


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("count", [_MANY], ids=["a million"])
def test_a_start_on_very_many_entries_serves_at_once_and_knows_them_soon(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], count: int
) -> None:
    """Nobody was stopped: all were killed. The first start has no index, as if it had been lost; the second has it."""
    settings = {"server.workers": _WORKERS, "cache.size_max": "1 TiB", "cache.free_min": 0}
    as_installed = {"PYTHONUTF8": "1"}  # so that it is a process of its own, not a fork of one that has loaded all
    with Origin() as origin:
        origin.add("small", CONTENT)
        glint = Glint(tmp_path, settings, environment=as_installed)
        try:
            with _life(glint, 0):
                glint.register(origin.url("small"), CONTENT, id=KEY)
                idle_bytes = _most_memory_bytes(glint)
            _lay(glint.cache_dir, count)
            for path in glint.cache_dir.glob("index.db*"):
                path.unlink()
            for number, what in enumerate(("no index", "all rows", "all rows"), 1):
                began_s = time.monotonic()
                with _life(glint, number):
                    assert download(f"{glint.url}/v2/images/{KEY}/file") == fast_digest(CONTENT)
                    hit_s = time.monotonic() - began_s
                    assert len(_openings(glint)) < _WORKERS * (number + 1), "the hit has waited for the index"
                    assert glint.metrics().value("glint_downloads_total", outcome="hit") == 1
                    wait_until(lambda number=number: len(_openings(glint)) == _WORKERS * (number + 1), _SETTLED_S)  # type: ignore[misc]
                    settled_s, grown_bytes = time.monotonic() - began_s, _most_memory_bytes(glint) - idle_bytes
                    assert {entry["entries"] for entry in _openings(glint)[-_WORKERS:]} == {count}
                    wait_until(lambda: _last_used(glint) == KEY)
                with capsys.disabled():
                    print(
                        f"\n{count} entries, {what}: first hit after {hit_s:.2f} s, whole index after"
                        f" {settled_s:.1f} s, {grown_bytes / count:.0f} bytes of memory for each entry"
                    )
                assert grown_bytes <= _ENTRY_MAX_BYTES * count
        finally:
            shutil.rmtree(glint.cache_dir)  # pytest keeps what tests leave


@contextmanager
def _life(glint: Glint, number: int) -> Iterator[None]:
    """Ended by a kill of all its processes."""
    glint.start()
    try:
        yield
        wait_until(lambda: len(_openings(glint)) >= _WORKERS * (number + 1))
    finally:
        glint.kill()


def _openings(glint: Glint) -> list[dict[str, Any]]:
    """What each worker has said when its index and the folder agreed."""
    return [json.loads(line) for line in glint.log.splitlines() if '"cache.opened"' in line]


def _last_used(glint: Glint) -> str:
    with closing(sqlite3.connect(glint.cache_dir / "index.db")) as index:
        (key,) = index.execute("SELECT key FROM entries ORDER BY used DESC LIMIT 1").fetchone()
    return str(key)


def _most_memory_bytes(glint: Glint) -> int:
    """What the worker that had the most has had at the most."""
    statuses = (Path(f"/proc/{pid}/status").read_text() for pid in glint.worker_pids)
    return max(int(status.partition("VmHWM:")[2].split()[0]) * 1024 for status in statuses)


def _lay(folder: Path, count: int) -> None:
    """Entries with their sums as fills would have left them, in two processes; the one with KEY is one of them."""
    shards = [f"{number:02x}" for number in range(256)]
    for shard in shards:
        (folder / "entries" / shard).mkdir(exist_ok=True, mode=0o700)
    parts = [count // 2, count - count // 2 - 1]
    with ProcessPoolExecutor(len(parts)) as processes:
        list(processes.map(_lay_some, repeat(str(folder / "entries")), parts, range(len(parts))))
    _lay_one(str(folder / "entries"), KEY, *_bytes())


def _lay_some(entries: str, count: int, seed: int) -> None:
    chance, data = random.Random(seed), _bytes()
    for _ in range(count):
        _lay_one(entries, str(uuid.UUID(int=chance.getrandbits(128), version=4)), *data)


def _lay_one(entries: str, key: str, content: bytes, sums: bytes) -> None:
    for name, data in ((key, content), (f"{key}.sums", sums)):
        fd = os.open(f"{entries}/{key[:2]}/{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        os.write(fd, data)
        os.close(fd)


def _bytes() -> tuple[bytes, bytes]:
    summer = Summer()
    summer.update(memoryview(CONTENT.read()))
    return CONTENT.read(), summer.finish()
