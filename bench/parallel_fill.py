"""Cold fills from Swift and S3, by one request and by several at once: near, and 20 ms away.

`python -m bench.parallel_fill [--kinds swift,s3,rgw] [--size-mib 256] [--rounds 3] [--window-kib 1024]`
Each fill reads an image into an empty cache, with its digest, as `glint serve` does; both ways take turns. A relay
(tests/relay), a process of its own, makes the distance: it answers each request so much later, and gives a connection
no more than a window of `--window-kib` in that time, as TCP does. One JSON line for each store and distance on stdout:
medians of MiB/s, their ratio, time to the first byte, memory over idle. `--memory-mib 4096` measures the growth of
memory alone, by one fill of that size.
"""

import argparse
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
import uvloop

from bench import processes
from cache import Blob, CacheConfig, Digest, ImageCache
from metrics import Instruments
from tests.content import GIB, KIB, MIB, Noise
from tests.peers import Ceph, Rgw, Swift
from upstream.stores import StoresConfig, open_stores
from upstream.types import Location

LATENCY_S = 0.02
ONE, SEVERAL = "one", "several"
Keys = Mapping[str, Any]
Peer = Callable[[Path, ExitStack], tuple[int, Callable[[int], Keys]]]
"""Starts a server; gives its port, and a store's configuration for the port by which it is reached."""


def swift(folder: Path, stack: ExitStack) -> tuple[int, Callable[[int], Keys]]:
    server = stack.enter_context(Swift(folder / "swift"))

    def keys(port: int) -> Keys:
        account = {"auth_address": server.auth_url, "auth_version": 1, "user": server.user, "key": server.key}
        endpoint = server.storage_url.replace(f":{server.port}/", f":{port}/")
        return {"kind": "swift", "references": {"ref1": account}, "endpoint": endpoint, "create_container": True}

    return server.port, keys


def s3(folder: Path, stack: ExitStack) -> tuple[int, Callable[[int], Keys]]:
    server = stack.enter_context(Swift(folder / "swift"))
    return server.port, lambda port: _s3_keys(port, server.s3.access, server.s3.secret)


def rgw(folder: Path, stack: ExitStack) -> tuple[int, Callable[[int], Keys]]:
    ceph = stack.enter_context(Ceph(folder / "ceph"))
    server = stack.enter_context(Rgw(folder / "rgw", ceph))
    return server.port, lambda port: _s3_keys(port, server.access_key, server.secret_key)


def _s3_keys(port: int, access: str, secret: str) -> Keys:
    keys = {"access_key": access, "secret_key": secret, "bucket": "bench", "create_bucket": True}
    return {"kind": "s3", "endpoint": f"http://127.0.0.1:{port}", "addressing": "path", **keys}


PEERS: Mapping[str, Peer] = {"swift": swift, "s3": s3, "rgw": rgw}


@contextmanager
def relayed(port: int, window_bytes: int) -> Iterator[int]:
    """The port of a relay that stands `LATENCY_S` away from the server at `port`."""
    rate = window_bytes / LATENCY_S / MIB
    options = ["--to", str(port), "--latency-ms", str(LATENCY_S * 1000), "--rate-mib", str(rate)]
    command = [sys.executable, "-m", "tests.relay", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, process_group=0) as relay:
        try:
            assert relay.stdout is not None
            yield int(relay.stdout.readline())
        finally:
            relay.terminate()


@dataclass(frozen=True, slots=True)
class Fill:
    mib_s: float
    first_byte_s: float
    grown_bytes: int
    parts: float
    depth: float


class Bench:
    """One store at one distance."""

    def __init__(self, folder: Path, keys: Keys, content: Noise) -> None:
        self._folder, self._keys, self._content = folder, keys, content
        self._blob = Blob(key="image", size_bytes=content.size_bytes, digest=Digest("sha512", content.digest()))

    async def put(self) -> Location:
        async with open_stores(self._config(SEVERAL), Instruments()) as stores:
            written = await stores.write(str(uuid.uuid4()), self._arriving(), self._content.size_bytes)
            return written.location

    async def fill(self, location: Location, way: str) -> Fill:
        """Into an empty cache. Its last byte is there only if the digest was right."""
        size_bytes, instruments = self._content.size_bytes, Instruments()
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            config = CacheConfig(dir=Path(folder), size_max=size_bytes + GIB)
            async with ImageCache(config, instruments) as cache, open_stores(self._config(way), instruments) as stores:
                await stores.size(location)  # logs in, and opens a connection
                source = stores.source([location], size_bytes)
                processes.forget_peak(os.getpgrp())
                idle_bytes, began_s = _memory().rss_bytes, time.perf_counter()
                async with cache.open(self._blob, source) as reader:
                    await reader.beyond(0)
                    first_byte_s = time.perf_counter() - began_s
                    at = 0
                    while at < size_bytes:
                        at = await reader.beyond(at)
                    took_s = time.perf_counter() - began_s
                return Fill(
                    size_bytes / MIB / took_s,
                    first_byte_s,
                    _memory().rss_peak_bytes - idle_bytes,
                    instruments.registry.get_sample_value("glint_store_parts_total", {"store": "store"}) or 0,
                    instruments.registry.get_sample_value("glint_store_parallel_depth", {"store": "store"}) or 0,
                )

    def _config(self, way: str) -> StoresConfig:
        keys = {**self._keys, **({"parallel_reads_max": 1} if way == ONE else {})}
        return StoresConfig.model_validate({"default": "store", "backends": {"store": keys}})

    async def _arriving(self) -> AsyncIterator[bytes]:
        for piece in self._content.pieces():
            yield bytes(piece)


def _memory() -> processes.Memory:
    """Of this process: the servers lead groups of their own."""
    return processes.memory(os.getpgrp())


async def compared(bench: Bench, location: Location, rounds: int) -> dict[str, float]:
    """Both ways in turn; who comes first changes."""
    fills: dict[str, list[Fill]] = {ONE: [], SEVERAL: []}
    for number in range(rounds):
        for way in (ONE, SEVERAL) if number % 2 else (SEVERAL, ONE):
            fills[way].append(await bench.fill(location, way))
    found: dict[str, float] = {}
    for way, done in fills.items():
        found[f"{way}_mib_s"] = statistics.median(fill.mib_s for fill in done)
        found[f"{way}_first_byte_ms"] = statistics.median(fill.first_byte_s * 1000 for fill in done)
        found[f"{way}_grown_mib"] = max(fill.grown_bytes for fill in done) / MIB
    found["ratio"] = found["several_mib_s"] / found["one_mib_s"]
    found["parts"] = statistics.median(fill.parts for fill in fills[SEVERAL])
    found["depth"] = statistics.median(fill.depth for fill in fills[SEVERAL])
    return {name: round(value, 2) for name, value in found.items()}


async def remembered(bench: Bench, location: Location) -> dict[str, float]:
    fill = await bench.fill(location, SEVERAL)
    return {"mib_s": round(fill.mib_s, 1), "grown_mib": round(fill.grown_bytes / MIB, 1), "depth": fill.depth}


def run(folder: Path, kinds: Sequence[str], content: Noise, rounds: int, window_bytes: int) -> Iterator[dict[str, Any]]:
    for kind in kinds:
        with ExitStack() as stack:
            port, keys = PEERS[kind](folder, stack)
            far = stack.enter_context(relayed(port, window_bytes))
            stored = uvloop.run(Bench(folder, keys(port), content).put())
            for distance, reached in (("near", port), (f"{LATENCY_S * 1000:g} ms away", far)):
                location = Location(url=stored.url.replace(f":{port}/", f":{reached}/"))
                bench = Bench(folder, keys(reached), content)
                told = {"store": kind, "distance": distance, "size_mib": content.size_bytes // MIB}
                yield told | uvloop.run(compared(bench, location, rounds) if rounds else remembered(bench, location))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", default=",".join(PEERS))
    parser.add_argument("--size-mib", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--window-kib", type=int, default=1024)
    parser.add_argument("--memory-mib", type=int, default=0)
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    os.setpgrp()  # memory is looked up by process group
    rounds = 0 if given.memory_mib else given.rounds
    content = Noise((given.memory_mib or given.size_mib) * MIB, seed=4)
    with tempfile.TemporaryDirectory(prefix="glint-parallel-") as folder:
        for line in run(Path(folder), given.kinds.split(","), content, rounds, given.window_kib * KIB):
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
