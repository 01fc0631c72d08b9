"""What Glint adds to a request before a Glance, and what Glance's word on a download costs.

`python -m bench.edge_latency`
Each round asks the real Glance and the Glint before it in turn, over kept connections, and asks Glance for the image in
the ways by which it could be made to say whether somebody may download it. One JSON line on stdout: medians of
milliseconds, and the median of what Glint took longer than Glance in the same round.
"""

import argparse
import http.client
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.content import MIB, Noise
from tests.glint import Glint
from tests.peers.glance import Glance, GlanceOptions
from tests.peers.keystone import Keystone
from tests.peers.memcached import Memcached

_BEYOND = "bytes=9223372036854775807-"
_WARMING = 20


class Connection:
    """A kept connection to one server, as one client has it."""

    def __init__(self, url: str, token: str) -> None:
        host, port = url.removeprefix("http://").split(":")
        self._client = http.client.HTTPConnection(host, int(port), timeout=30)
        self._token = token

    def took_ms(self, path: str, status: int, headers: Mapping[str, str] | None = None) -> float:
        began_s = time.perf_counter()
        self._client.request("GET", path, headers={"X-Auth-Token": self._token, **(headers or {})})
        answer = self._client.getresponse()
        answer.read()
        took_s = time.perf_counter() - began_s
        assert answer.status == status, (path, answer.status)
        return took_s * 1000


def measure(glance: Connection, glint: Connection, image_id: str, rounds: int) -> dict[str, float]:
    """Medians in milliseconds."""
    image, file, page = f"/v2/images/{image_id}", f"/v2/images/{image_id}/file", "/v2/images?limit=20"
    taken = _interleaved(
        {
            "glance_show": lambda: glance.took_ms(image, 200),
            "glint_show": lambda: glint.took_ms(image, 200),
            "glance_list": lambda: glance.took_ms(page, 200),
            "glint_list": lambda: glint.took_ms(page, 200),
        },
        rounds,
    )
    medians = {f"added_{call}": _added(taken[f"glance_{call}"], taken[f"glint_{call}"]) for call in ("show", "list")}
    glint.took_ms(file, 200)
    taken |= _interleaved(
        {
            "glance_range_beyond": lambda: glance.took_ms(file, 416, {"Range": _BEYOND}),
            "glance_first_byte": lambda: glance.took_ms(file, 206, {"Range": "bytes=0-0"}),
            "glint_hit_of_one_byte": lambda: glint.took_ms(file, 206, {"Range": "bytes=0-0"}),
        },
        rounds,
    )
    medians |= {name: statistics.median(times) for name, times in taken.items()}
    return {name: round(value, 3) for name, value in medians.items()}


def _interleaved(ways: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Who comes first has no advantage over all rounds; those before the first one warm up."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(-_WARMING, rounds):
        for name in sorted(ways, reverse=bool(number % 2)):
            took_ms = ways[name]()
            if number >= 0:
                taken[name].append(took_ms)
    return taken


def _added(before: Sequence[float], after: Sequence[float]) -> float:
    return statistics.median(later - earlier for earlier, later in zip(before, after, strict=True))


def run(folder: Path, rounds: int) -> dict[str, float]:
    with ExitStack() as stack:
        keystone = stack.enter_context(Keystone(folder / "keystone"))
        memcached = stack.enter_context(Memcached(folder / "memcached"))
        glance = stack.enter_context(Glance(folder / "glance", keystone, memcached, options=GlanceOptions(processes=2)))
        settings = {"registry.kind": "glance", "registry.glance.url": glance.url, "logging.level": "info"}
        glint = stack.enter_context(Glint(folder / "glint", settings))
        token = keystone.token("demo")
        image_id = glint.upload(Noise(MIB, seed=3).read(), token=token)
        return measure(Connection(glance.url, token), Connection(glint.url, token), image_id, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=300)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="glint-edge-") as folder:
        print(json.dumps({"rounds": options.rounds, "unit": "ms", **run(Path(folder), options.rounds)}))


if __name__ == "__main__":
    main()
