"""Images far larger than memory, and than the cache: every byte is right, and memory does not grow with them."""

import os
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from http.client import HTTPConnection
from pathlib import Path

import pytest

from bench import processes
from bench.origin import OriginProcess
from tests.content import GIB, MIB, Noise
from tests.glint import Glint
from tests.seeds import seed_of_this_run

_CLIENTS = 16
_GROWTH_MAX_BYTES = 64 * MIB
_PART_BYTES = 3 * MIB + 1
_LONG = [pytest.mark.long, pytest.mark.timeout(1800)]
Read = Callable[[int, int], bytes]
"""What is right from one place up to another."""


@pytest.mark.parametrize("size_bytes", [300 * MIB, pytest.param(100 * GIB, marks=_LONG)], ids=["short", "100 GiB"])
def test_an_image_larger_than_the_cache_goes_past_it_whole_and_in_parts(tmp_path: Path, size_bytes: int) -> None:
    chance, content = random.Random(seed_of_this_run()), Noise(size_bytes)
    settings = {"cache.size_max": "128 MiB", "cache.free_min": 0}
    with OriginProcess(size_bytes // MIB) as origin, Glint(tmp_path, settings) as glint:
        url = f"/v2/images/{glint.register(origin.url)}/file"
        grown_bytes = _most_grown(glint, url, content.read, size_bytes, chance, has_whole=True)
        assert grown_bytes <= _GROWTH_MAX_BYTES
        metrics = glint.metrics()
        assert metrics.value("glint_downloads_total") == metrics.value("glint_downloads_total", outcome="bypass") > 0
        assert glint.get("/v2/cache/usage").json["entries"] == 0


@pytest.mark.parametrize("size_bytes", [5 * GIB, pytest.param(100 * GIB, marks=_LONG)], ids=["short", "100 GiB"])
def test_a_hit_on_a_huge_entry_gives_any_part_of_it(tmp_path: Path, size_bytes: int) -> None:
    """The entry has holes, which are zeros and take no room: so it fits on any disk. The long form reads all of it."""
    chance = random.Random(seed_of_this_run())
    settings = {"cache.size_max": 2 * size_bytes, "cache.free_min": 0, "cache.scrub_rate_max": 0}
    with OriginProcess(size_bytes // MIB) as origin, Glint(tmp_path, settings) as glint:
        image_id = glint.register(origin.url)
        glint.stop()
        entry = glint.cache_dir / "entries" / image_id[:2] / image_id
        entry.parent.mkdir()
        with entry.open("wb+", buffering=0) as file:
            file.truncate(size_bytes)
            for start, stop in _places(size_bytes, chance):
                os.pwrite(file.fileno(), chance.randbytes((stop - start) // 2), start + (stop - start) // 4)
            glint.start()
            grown_bytes = _most_grown(
                glint,
                f"/v2/images/{image_id}/file",
                lambda start, stop: os.pread(file.fileno(), stop - start, start),
                size_bytes,
                chance,
                has_whole=size_bytes > 5 * GIB,
            )
        assert grown_bytes <= _GROWTH_MAX_BYTES
        metrics = glint.metrics()
        assert metrics.value("glint_downloads_total") == metrics.value("glint_downloads_total", outcome="hit") > 0


def _most_grown(glint: Glint, url: str, read: Read, size_bytes: int, chance: random.Random, *, has_whole: bool) -> int:
    """Many parts are read at once, and the whole beside them: by how much memory has grown at the most."""
    places = _places(size_bytes, chance)
    _compare(glint, url, read, size_bytes, places[-1])
    processes.forget_peak(glint.pid)
    before_bytes = processes.memory(glint.pid).rss_bytes
    with ThreadPoolExecutor(_CLIENTS) as threads:
        compare = partial(_compare, glint, url, read, size_bytes)
        for _ in threads.map(compare, [*([None] * has_whole), *places]):
            pass
    return processes.memory(glint.pid).rss_peak_bytes - before_bytes


def _places(size_bytes: int, chance: random.Random) -> list[tuple[int, int]]:
    """Parts around what is special to numbers and files, and some that chance chooses; the last one is at the end."""
    middles = [2**31, 2**32, 2**36, *(chance.randrange(size_bytes) for _ in range(2 * _CLIENTS))]
    starts = [middle - _PART_BYTES // 2 for middle in middles if _PART_BYTES < middle < size_bytes - _PART_BYTES]
    return [(start, start + _PART_BYTES) for start in (0, *starts, size_bytes - _PART_BYTES)]


def _compare(glint: Glint, url: str, read: Read, size_bytes: int, place: tuple[int, int] | None) -> None:
    """Download a part, or all, and compare each byte."""
    at, stop = place or (0, size_bytes)
    with closing(HTTPConnection("127.0.0.1", glint.port, timeout=60)) as connection:
        connection.request("GET", url, headers={"Range": f"bytes={at}-{stop - 1}"} if place else {})
        answer = connection.getresponse()
        assert answer.status == (206 if place else 200), answer.read()
        assert int(answer.headers["Content-Length"]) == stop - at
        while piece := answer.read(MIB):
            assert piece == read(at, at + len(piece)), f"wrong bytes between {at} and {at + len(piece)}"
            at += len(piece)
    assert at == stop
