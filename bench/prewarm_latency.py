"""What a running prewarm costs clients: the time to the first byte of cold reads, without one, beside one, by budget.

`python -m bench.prewarm_latency`
Clients ask for the first 64 KiB of images that are not cached, which is a read of the store each time. Meanwhile
nothing is prewarmed, or other images are, by as much of the store's bandwidth as they can get or by a budget of it
(`guard.background_rate_max`). The ways take turns. One JSON line on stdout: milliseconds, and MiB/s of the prewarm.
"""

import argparse
import http.client
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bench.glint import Images, glint_process
from bench.origin import OriginProcess
from tests.content import MIB, Noise
from tests.glint import Glint

_SIZE_MIB = 128
_PAUSE_S = 0.02
_COLD = 16
WAYS: Mapping[str, Mapping[str, Any] | None] = {
    "alone": None,
    "prewarm": {},
    "prewarm_by_budget": {"background_rate_max": "32 MiB"},
}


class Subject:
    """One Glint with one budget, and images of one content under many names."""

    def __init__(self, glint: Glint, origin: OriginProcess, digest: str) -> None:
        self._glint, self._url, self._digest = glint, origin.url, digest
        self._numbers = itertools.count()
        self._client = http.client.HTTPConnection("127.0.0.1", glint.port, timeout=60)
        self._images = Images(glint.port)
        self._cold = [self.register() for _ in range(_COLD)]

    def register(self) -> str:
        """The id of one more image, which can be read."""
        name = f"image-{next(self._numbers)}"
        image_id = self._images.register(name, f"{self._url}?{name}", self._digest)
        while self._glint.get(f"/v2/images/{image_id}").json["status"] != "active":
            time.sleep(0.01)
        return image_id

    def first_byte_ms(self, turn: int) -> float:
        path = f"/v2/images/{self._cold[turn % _COLD]}/file"
        began_s = time.perf_counter()
        self._client.request("GET", path, headers={"Range": "bytes=0-65535"})
        answer = self._client.getresponse()
        answer.read(1)
        took_s = time.perf_counter() - began_s
        answer.read()
        assert answer.status == 206, answer.status
        return took_s * 1000

    def read_bytes(self) -> float:
        return self._glint.metrics().value("glint_store_bytes_total", store="web", operation="read")

    @contextmanager
    def prewarming(self, images: int) -> Iterator[None]:
        wanted = [self.register() for _ in range(images)]
        for image_id in wanted:
            self._glint.request("PUT", f"/v2/cache/{image_id}")
        try:
            yield
        finally:
            for image_id in wanted:
                self._glint.request("DELETE", f"/v2/cache/{image_id}")


def measured(subject: Subject, images: int, seconds: float) -> tuple[list[float], float]:
    """Times to the first byte, and bytes per second that were read beside."""
    with ExitStack() as stack:
        if images:
            stack.enter_context(subject.prewarming(images))
        time.sleep(0.5)
        began_s, before = time.monotonic(), subject.read_bytes()
        taken_ms: list[float] = []
        while time.monotonic() - began_s < seconds:
            taken_ms.append(subject.first_byte_ms(len(taken_ms)))
            time.sleep(_PAUSE_S)
        return taken_ms, (subject.read_bytes() - before) / (time.monotonic() - began_s)


def run(folder: Path, rounds: int, seconds: float) -> dict[str, dict[str, float]]:
    digest = Noise(_SIZE_MIB * MIB, seed=0).digest()
    taken_ms: dict[str, list[float]] = {way: [] for way in WAYS}
    rates: dict[str, list[float]] = {way: [] for way in WAYS}
    with ExitStack() as stack:
        origin = stack.enter_context(OriginProcess(_SIZE_MIB))
        subjects = {}
        for way, guard in WAYS.items():
            settings = {"stores": {"backends": {"web": {"kind": "http", "guard": dict(guard or {})}}, "default": None}}
            glint = stack.enter_context(glint_process(folder / way, settings=settings))
            subjects[way] = Subject(glint, origin, digest)
        for _ in range(rounds):
            for way, subject in subjects.items():
                times, rate = measured(subject, 0 if WAYS[way] is None else int(seconds * 8), seconds)
                taken_ms[way] += times
                rates[way].append(rate)
    return {way: told(taken_ms[way], statistics.mean(rates[way])) for way in WAYS}


def told(taken_ms: list[float], rate: float) -> dict[str, float]:
    cuts = statistics.quantiles(taken_ms, n=100)
    numbers = {"requests": len(taken_ms), "p50_ms": cuts[49], "p99_ms": cuts[98], "read_mib_s": rate / MIB}
    return {name: round(value, 2) for name, value in numbers.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="glint-prewarm-") as folder:
        print(json.dumps(run(Path(folder), options.rounds, options.seconds)))


if __name__ == "__main__":
    main()
