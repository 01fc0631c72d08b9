"""What it costs a fill that its image outlives a power cut: fills with and without fsync, in turns.

`python -m bench.durability [--size-mib 1024] [--rates-mib 256,0] [--rounds 5] [--folder DIR]`
Each fill is a process of its own, in which os.fsync and os.fdatasync do nothing every other time. Before each the disk
is at rest, with nothing left to write. The source is in memory and gives `--rates-mib` per second (0: as fast as it is
taken); what is not taken in time is lost but for 4 MiB, as with a socket. The digest is checked, as a Glint does it.
One JSON line for each rate on stdout: medians of seconds until the image is stored and what the fsyncs add in percent;
and, for a machine that is not quiet, how long the fsyncs themselves took.
"""

import argparse
import asyncio
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import structlog
import uvloop

from cache import Blob, CacheConfig, Digest, ImageCache, Purpose
from metrics import Instruments
from tests.content import KIB, MIB, Noise

_PIECE_BYTES = 256 * KIB
_SOCKET_BYTES = 4 * MIB
_TIMEOUT_S = 300
WITH, WITHOUT = "with", "without"


class Took(NamedTuple):
    fill_s: float
    syncing_s: float


class Paced:
    """A content in memory, as a store that gives so many bytes per second."""

    def __init__(self, content: Noise, rate_bytes_per_s: float) -> None:
        self._content, self._rate_bytes_per_s = content, rate_bytes_per_s

    @asynccontextmanager
    async def __call__(self, offset: int, stop: int | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        yield self._pieces(offset, self._content.size_bytes if stop is None else stop)

    def wanted_for(self, purpose: Purpose) -> None:
        pass

    def distrust(self) -> bool:
        return False

    async def _pieces(self, at: int, stop: int) -> AsyncIterator[bytes]:
        given_s = time.monotonic()  # when what is given by now was there
        while at < stop:
            piece = self._content.read(at, min(at + _PIECE_BYTES, stop))
            if self._rate_bytes_per_s:
                now_s = time.monotonic()
                given_s = max(given_s, now_s - _SOCKET_BYTES / self._rate_bytes_per_s)
                given_s += len(piece) / self._rate_bytes_per_s
                await asyncio.sleep(max(0.0, given_s - now_s))
            else:
                await asyncio.sleep(0)
            yield piece
            at += len(piece)


class Syncs:
    """Stand for os.fsync and os.fdatasync: timed, or left out."""

    def __init__(self, way: str) -> None:
        self._does, self._fsync, self.took_s = way == WITH, os.fsync, 0.0

    def __call__(self, fd: int) -> None:
        began_s = time.perf_counter()
        if self._does:
            self._fsync(fd)
        self.took_s += time.perf_counter() - began_s


async def fill(folder: Path, content: Noise, digest: str, rate_bytes_per_s: float) -> float:
    """Seconds until it is stored."""
    config = CacheConfig.model_validate({"dir": folder, "size_max": 4 * content.size_bytes, "scrub_rate_max": 0})
    blob = Blob(key="image", size_bytes=content.size_bytes, digest=Digest("sha512", digest))
    async with ImageCache(config, Instruments()) as cache:
        began_s = time.perf_counter()
        await cache.store(blob, Paced(content, rate_bytes_per_s))
        return time.perf_counter() - began_s


def fill_here(folder: Path, way: str, content: Noise, digest: str, rate_bytes_per_s: float) -> Took:
    syncs = Syncs(way)
    with patch("os.fsync", syncs), patch("os.fdatasync", syncs):
        fill_s = uvloop.run(fill(folder, content, digest, rate_bytes_per_s))
    return Took(fill_s, syncs.took_s)


def fill_in_process(scratch: Path, way: str, size_mib: int, digest: str, rate_mib: int) -> Took:
    os.sync()
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        command = [sys.executable, "-m", "bench.durability", "--size-mib", str(size_mib), "--rates-mib", str(rate_mib)]
        command += ["--folder", folder, "--way", way, "--digest", digest]
        done = subprocess.run(command, capture_output=True, check=True, timeout=_TIMEOUT_S, text=True)
        return Took(*json.loads(done.stdout))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size-mib", type=int, default=1024)
    parser.add_argument("--rates-mib", default="256,0")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path("var"), help="on the disk that is to be measured")
    parser.add_argument("--way", choices=(WITH, WITHOUT), help=argparse.SUPPRESS)
    parser.add_argument("--digest", help=argparse.SUPPRESS)
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    content = Noise(options.size_mib * MIB, seed=1)
    rates_mib = [int(rate) for rate in options.rates_mib.split(",")]
    if options.way:
        print(json.dumps(fill_here(options.folder / "cache", options.way, content, options.digest, rates_mib[0] * MIB)))
        return
    options.folder.mkdir(parents=True, exist_ok=True)
    digest = content.digest()
    for rate_mib in rates_mib:
        print(json.dumps(measure(options.folder, options.size_mib, digest, rate_mib, options.rounds)), flush=True)


def measure(scratch: Path, size_mib: int, digest: str, rate_mib: int, rounds: int) -> dict[str, float]:
    took: dict[str, list[Took]] = {WITH: [], WITHOUT: []}
    for number in range(rounds):
        for way in (WITH, WITHOUT) if number % 2 else (WITHOUT, WITH):
            took[way].append(fill_in_process(scratch, way, size_mib, digest, rate_mib))
    medians = {way: statistics.median(each.fill_s for each in took[way]) for way in took}
    syncing_s = statistics.median(each.syncing_s for each in took[WITH])
    return {
        "size_mib": size_mib,
        "rate_mib": rate_mib,
        "rounds": rounds,
        "with_s": round(medians[WITH], 3),
        "without_s": round(medians[WITHOUT], 3),
        "cost_percent": round(100 * (medians[WITH] / medians[WITHOUT] - 1), 1),
        "syncing_s": round(syncing_s, 3),
        "syncing_percent": round(100 * syncing_s / medians[WITH], 1),
    }


if __name__ == "__main__":
    main()
