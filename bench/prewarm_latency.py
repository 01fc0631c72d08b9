"""What a running prewarm costs clients: the time to the first byte of what they ask for, without one and beside one.

`python -m bench.prewarm_latency`
Clients come at random, so many in a second: for the front of an image that is cached, for the front of one that is not,
which is a read of the store each time, and for small images that are not cached, each of which is a fill. Meanwhile
nothing is prewarmed, or as much as there are hands for. Both take turns, and a process that only sleeps stands beside:
how late it wakes is what the machine, and its host, do to anybody. For comparison a prewarm goes on with no client
there. One JSON line on stdout: milliseconds, and MiB/s of the prewarm. What comes in a round's first half second, when
a prewarm still goes at its full speed, is also told apart, as `first`.
"""

import argparse
import http.client
import json
import random
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from os import sync
from pathlib import Path
from typing import Any

from bench.glint import Images, file_path, glint_process
from bench.idle import Idle
from bench.origin import OriginProcess
from tests.content import MIB, Noise
from tests.glint import Glint

_LARGE_MIB, _SMALL_MIB = 128, 1
_FRONT_BYTES = 65_536
_CLIENTS = 4
_COLD, _CACHED = 16, 8
_FIRST, _FIRST_S = "first", 0.5
_KINDS = {"hit": 0.4, "part": 0.4, "fill": 0.2}
_READ_BYTES = {"hit": 0, "part": _FRONT_BYTES, "fill": _SMALL_MIB * MIB}
_SETTLED_S = 60
ALONE, BESIDE, UNDISTURBED = WAYS = ("alone", "beside_prewarm", "prewarm_alone")


@dataclass(frozen=True, slots=True)
class Taken:
    """The time to one first byte. `at_s`: when it was, in its round."""

    kind: str
    at_s: float
    taken_ms: float


@dataclass
class Seen:
    """Of one way, over all rounds."""

    taken: list[Taken] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    idle_ms: list[float] = field(default_factory=list)

    def told(self) -> dict[str, float]:
        numbers = {"read_mib_s": statistics.mean(self.rates) / MIB, "idle_p99_ms": cut(self.idle_ms, 99)}
        if self.taken:
            every_ms = [one.taken_ms for one in self.taken]
            numbers |= {"requests": len(every_ms), "p50_ms": cut(every_ms, 50), "p99_ms": cut(every_ms, 99)}
        for kind in (*_KINDS, _FIRST) if self.taken else ():
            of_kind = [one.taken_ms for one in self.taken if kind == (_FIRST if one.at_s < _FIRST_S else one.kind)]
            numbers |= {f"{kind}_p50_ms": cut(of_kind, 50), f"{kind}_p99_ms": cut(of_kind, 99)}
        return {name: round(value, 2) for name, value in numbers.items()}


def cut(values: Sequence[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1]


class Subject:
    """One Glint, and images of two contents under many names."""

    def __init__(self, glint: Glint, large: OriginProcess, small: OriginProcess, *, fills: int, prewarms: int) -> None:
        self.glint, self._images = glint, Images(glint.port)
        self.hits = self._registered(small, _SMALL_MIB, "cached", _CACHED)
        self.parts = self._registered(large, _LARGE_MIB, "cold", _COLD)
        self.fills = self._registered(small, _SMALL_MIB, "small", fills)
        self.prewarms = self._registered(large, _LARGE_MIB, "large", prewarms)
        for image_id in self.hits:
            self._images.download(image_id)

    def _registered(self, origin: OriginProcess, size_mib: int, name: str, count: int) -> list[str]:
        digest = Noise(size_mib * MIB, seed=0).digest()
        ids = [
            self._images.register(f"{name}-{number}", f"{origin.url}?{name}-{number}", digest)
            for number in range(count)
        ]
        for image_id in ids:
            while self._images.show(image_id)["status"] != "active":
                time.sleep(0.01)
        return ids

    def read_bytes(self) -> float:
        return self.glint.metrics().value("glint_store_bytes_total", store="web", operation="read")

    @contextmanager
    def prewarming(self) -> Iterator[None]:
        for image_id in self.prewarms:
            self.glint.request("PUT", f"/v2/cache/{image_id}")
        try:
            yield
        finally:
            self.glint.request("DELETE", "/v2/cache", headers={"x-image-cache-clear-target": "queue"})

    def settle(self) -> None:
        """As before any round: nothing runs, nothing waits to be written, and what is not to be cached is not."""
        until_s = time.monotonic() + _SETTLED_S
        while self.glint.metrics().value("glint_fills_in_flight") and time.monotonic() < until_s:
            time.sleep(0.05)
        for image_id in (*self.fills, *self.prewarms):
            self.glint.request("DELETE", f"/v2/cache/{image_id}")
        sync()
        time.sleep(0.5)


def first_byte_ms(client: http.client.HTTPConnection, image_id: str, *, is_part: bool) -> float:
    began_s = time.perf_counter()
    client.request("GET", file_path(image_id), headers={"Range": f"bytes=0-{_FRONT_BYTES - 1}"} if is_part else {})
    answer = client.getresponse()
    answer.read(1)
    took_s = time.perf_counter() - began_s
    answer.read()
    assert answer.status == (206 if is_part else 200), answer.status
    return took_s * 1000


def come(subject: Subject, fills: Iterator[str], rate_s: float, seconds: float, seed: int) -> list[Taken]:
    """One client's requests, the next one at a random time after the one before, whose answer may make it late."""
    chance, taken = random.Random(seed), list[Taken]()
    client = http.client.HTTPConnection("127.0.0.1", subject.glint.port, timeout=60)
    due_s = began_s = time.monotonic()
    while (due_s := due_s + chance.expovariate(rate_s)) < began_s + seconds:
        time.sleep(max(0.0, due_s - time.monotonic()))
        (kind,) = chance.choices(list(_KINDS), list(_KINDS.values()))
        image_id = next(fills) if kind == "fill" else chance.choice(subject.hits if kind == "hit" else subject.parts)
        at_s = time.monotonic() - began_s
        taken.append(Taken(kind, at_s, first_byte_ms(client, image_id, is_part=kind != "fill")))
    client.close()
    return taken


def measure(subject: Subject, way: str, seen: Seen, *, rate_s: float, seconds: float, seed: int) -> None:
    subject.settle()
    with ExitStack() as stack:
        if way != ALONE:
            stack.enter_context(subject.prewarming())
        clients = 0 if way == UNDISTURBED else _CLIENTS
        pool = stack.enter_context(ThreadPoolExecutor(_CLIENTS))
        idle = stack.enter_context(Idle())
        fills = iter(subject.fills)
        began_s, before_bytes = time.monotonic(), subject.read_bytes()
        coming = [pool.submit(come, subject, fills, rate_s / clients, seconds, seed + n) for n in range(clients)]
        if not clients:
            time.sleep(seconds)
        came = [taken for future in coming for taken in future.result()]
        took_s, read_bytes = time.monotonic() - began_s, subject.read_bytes() - before_bytes
    read_bytes -= sum(_READ_BYTES[one.kind] for one in came)
    seen.rates.append(read_bytes / took_s)
    seen.idle_ms += [lag_s * 1000 for lag_s in idle.lags_s]
    seen.taken += came


def run(folder: Path, options: argparse.Namespace) -> dict[str, dict[str, float]]:
    seen = {way: Seen() for way in WAYS}
    rate_s, seconds = options.requests_per_s, options.seconds
    settings: dict[str, Any] = {
        "stores": {"backends": {"web": {"kind": "http"}}, "default": None},
        "server.workers": options.workers,
    }
    with ExitStack() as stack:
        large, small = (stack.enter_context(OriginProcess(size_mib)) for size_mib in (_LARGE_MIB, _SMALL_MIB))
        glint = stack.enter_context(glint_process(folder, settings=settings))
        fills = int(rate_s * seconds * _KINDS["fill"] * 2) + 20
        subject = Subject(glint, large, small, fills=fills, prewarms=int(seconds * 6))
        for number in range(options.rounds):
            for way in WAYS if number % 3 == 0 else (ALONE, BESIDE):
                measure(subject, way, seen[way], rate_s=rate_s, seconds=seconds, seed=number * _CLIENTS)
    return {way: seen[way].told() for way in WAYS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--requests-per-s", type=float, default=40.0)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="glint-prewarm-") as folder:
        print(json.dumps(run(Path(folder), options)))


if __name__ == "__main__":
    main()
